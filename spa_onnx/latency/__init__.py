"""How long a model takes on this machine: measured, estimated, and met as a budget."""

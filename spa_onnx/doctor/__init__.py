"""Say whether this machine and this installation run lowered models, and if not, what to do."""

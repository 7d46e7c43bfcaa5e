"""``make gpu-check``: everything that only a machine with an NVIDIA GPU can show, in one JSON."""

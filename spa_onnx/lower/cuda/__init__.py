"""Lower models for NVIDIA GPUs: other types, ways to pack, measurements and sessions."""

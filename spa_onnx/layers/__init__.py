"""Layers as matrices: what they read, what they make, and how to change their weights."""

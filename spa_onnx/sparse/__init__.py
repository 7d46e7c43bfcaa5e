"""Weights with zeros inside: which patterns they may follow, which ones go, and repair."""

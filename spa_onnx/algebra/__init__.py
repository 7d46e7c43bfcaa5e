"""Axis expressions over dims, and the operations that couple them."""

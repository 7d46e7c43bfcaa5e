"""Repair: weights that stay make up for those that went. Shapes and the plan stay as they are."""

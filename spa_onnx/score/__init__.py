"""Importance of lanes: what passes see and how their scores become comparable."""

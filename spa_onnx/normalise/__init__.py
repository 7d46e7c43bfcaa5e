"""Rewrites to the form that the analysis reads; each undone or harmless in the result."""

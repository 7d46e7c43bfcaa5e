"""Apply a plan: slice initializers, recompute size constants, write the file."""

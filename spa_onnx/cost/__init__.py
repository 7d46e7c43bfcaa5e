"""What a model costs at any widths, without rewriting it."""

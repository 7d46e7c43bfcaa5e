"""Many models at once: what came of each, as lines of JSON and as a table."""

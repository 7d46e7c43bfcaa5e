"""What a run did, as values, text and JSON."""

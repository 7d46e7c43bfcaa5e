"""Flow of an all-ones input through a network of absolute weights, and of its result back."""

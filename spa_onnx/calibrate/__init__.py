"""What a model does with inputs: second moments of its layers, and how far its outputs move."""

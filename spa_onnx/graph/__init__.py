"""Read-only views of nodes, tensors and shapes that several stages need."""

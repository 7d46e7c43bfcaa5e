"""What is cut: kept lanes of every dim, and what that means for an axis."""

"""From weights with zeros to operators that skip them, where they pay; and back."""

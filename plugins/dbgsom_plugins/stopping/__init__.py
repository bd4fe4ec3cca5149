"""Built-in stopping rules."""

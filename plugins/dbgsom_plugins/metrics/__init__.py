"""Built-in distance metrics."""

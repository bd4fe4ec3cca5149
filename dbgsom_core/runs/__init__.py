"""One run from a configuration, many of them, and reading them back."""

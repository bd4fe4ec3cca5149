"""A look at a file that nobody described yet, and the configuration that it suggests."""

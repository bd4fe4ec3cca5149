"""Built-in grids."""

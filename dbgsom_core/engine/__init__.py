"""How one pass over the data runs."""

"""Built-in growth strategies."""

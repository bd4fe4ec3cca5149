"""Which variant is best, and how sure that is."""

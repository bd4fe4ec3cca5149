"""Numbers as text: the shortest that reads back to the bit, many in one loop."""

"""The map: its grid and hops, the tree of child maps, and how well a grid fits the data."""

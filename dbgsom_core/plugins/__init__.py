"""Finding plugins, keeping broken ones apart, looking components up, and telling observers."""

"""The adapter to PostgreSQL: which columns hold tokens, inventory, census, writes, Keydeck's own schema."""

"""The versions of Keydeck's own schema."""

"""A watch over keys that nobody should use any more."""

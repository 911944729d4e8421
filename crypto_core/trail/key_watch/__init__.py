"""A watch over retired keys."""

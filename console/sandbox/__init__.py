"""The embedded default: a real PostgreSQL and a local AWS endpoint, filled with generated tokens."""

"""Alembic's environment for Keydeck's own schema."""

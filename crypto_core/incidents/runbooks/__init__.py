"""Runbooks: what they may name, read from TOML, kept in a library."""

"""Looks through the whole database for tokens that no inventory knows. No value leaves it: SQL counts."""

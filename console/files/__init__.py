"""Keydeck's own files on this machine: the log, and what the console remembers."""

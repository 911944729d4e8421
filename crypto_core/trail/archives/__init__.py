"""Reads what others packed: compressed streams and archives, in bounded memory whatever a file claims."""

"""The providers that Keydeck knows itself, a module each: its requests, its answers, its record."""

"""Which rows hold a token that somebody has: by the token itself, or by the hash that GitHub has for it."""

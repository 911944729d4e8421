"""Who used what: one page each for a token, a principal and a key, and the watch over a key."""

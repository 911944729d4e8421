"""Who used what: one page each for a token and a key, and the watch over a key."""

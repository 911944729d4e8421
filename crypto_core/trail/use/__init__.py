"""Who used what: a token's, a key's, a principal's events; facts told apart from what could have been."""

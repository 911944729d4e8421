"""Before tokens are written anew: under which key, and what would happen."""

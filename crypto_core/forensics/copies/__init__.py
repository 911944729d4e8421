"""Old copies: dumps, backups and logs, what is sealed in them, and which keys they need."""

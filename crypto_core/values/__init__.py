"""What every room speaks in: cleaned text, errors, secrets, references, names of keys."""

"""What an operator can do: one registry, from which keys, footer, help and commands are made."""

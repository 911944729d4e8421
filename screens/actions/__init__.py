"""What an operator can do: one registry, from which keys, footer, help, commands and palette are made."""

"""The rules about what was done with tokens at their providers."""

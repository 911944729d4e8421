"""What a token can do, as far as its provider's own answers tell."""

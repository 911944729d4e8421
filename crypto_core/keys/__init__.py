"""KMS keys as an operator sees them, and what the census says about the tokens under each."""

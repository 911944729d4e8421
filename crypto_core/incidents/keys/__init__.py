"""What steps do, check and capture about KMS keys and the tokens under them."""

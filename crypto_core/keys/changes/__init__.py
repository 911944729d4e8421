"""Changes of KMS keys: each is planned, shown, agreed to, made, read back and journaled."""

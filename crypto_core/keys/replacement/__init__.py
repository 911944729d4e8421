"""Manual rotation: another KMS key takes a key's place, by what is seen in KMS and the database."""

"""Manual rotation: replaces one KMS key by another, guided by the state of KMS and the database."""

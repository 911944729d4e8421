"""Data keys from KMS: made, opened, checked, kept for a while within bounds; the cipher over them."""

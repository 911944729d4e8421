"""Changes of a KMS key from preview to effect, and blocking principals from wherever they are named."""

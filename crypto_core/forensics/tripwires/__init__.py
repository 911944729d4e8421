"""Tripwires: decoys that tell of whoever opens them."""

"""What forensics adds to the screens."""

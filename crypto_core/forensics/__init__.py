"""What is found out beside the inventory: who opens decoys, and which rows hold a token."""

"""What is found out beside the inventory: who opens decoys, what old copies hold, which rows hold a token."""

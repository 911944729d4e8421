"""What is found out beside the inventory: decoys that tell who opens them, and what tokens can do."""

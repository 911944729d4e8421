"""Found out beside the inventory: decoys, old copies, audit logs, whose a token is and what it can do."""

"""Tokens in the platform's tables: what holds them, the inventory, the census, writes."""

"""Estates: one operator's databases and AWS accounts, side by side."""

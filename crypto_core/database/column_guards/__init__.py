"""CHECK constraints on token columns that refuse whatever is no envelope: the guard at the source."""

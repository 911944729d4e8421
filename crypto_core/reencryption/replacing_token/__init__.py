"""A new token in the place of an old one: checked as it is entered, planned, written."""

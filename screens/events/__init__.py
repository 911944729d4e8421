"""CloudTrail's events: the list over time, one event, its values with counts, and the ways between them."""

"""CloudTrail as an operator reviews it: events, where they come from, the local store, and what they mean."""

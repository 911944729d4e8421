"""Rules about CloudTrail's events: each yields findings, and gaps where it could not examine events."""

"""Rules about CloudTrail's events: each says what it has seen, as findings, or what it could not look at."""

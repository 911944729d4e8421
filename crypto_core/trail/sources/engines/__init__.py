"""Query engines over a trail: Athena and CloudTrail Lake."""

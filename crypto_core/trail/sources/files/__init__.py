"""CloudTrail's files: found, read by several processes, taken into the store."""

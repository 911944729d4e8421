"""What the steps of a runbook do, check and capture about tokens and restored databases."""

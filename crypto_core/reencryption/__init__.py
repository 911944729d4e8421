"""Many tokens at once: plan, preview, write, verify."""

"""Many tokens at once: KMS asked asynchronously, a page read and a batch written meanwhile."""

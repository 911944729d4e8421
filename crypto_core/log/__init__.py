"""The log: what may stand in it, how often and how loud; redaction, tracebacks, and hooks for metrics."""

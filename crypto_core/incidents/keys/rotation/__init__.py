"""One key in place of another: what is read of both, and what that proves."""

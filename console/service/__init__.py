"""What `keydeck watch` does: duties at their intervals, by one host at a time; metrics over HTTP."""

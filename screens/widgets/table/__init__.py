"""One virtual table for every list: rows come page by page, and only those in sight are painted."""

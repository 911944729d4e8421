"""Keydeck's own state: its schema's versions, the journal, approvals, jobs, incidents."""

"""Incidents: which are open, the runbook of one as a page, its evidence and its report."""

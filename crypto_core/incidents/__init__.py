"""Incidents: runbooks, their state, actions, checks and evidence, and the report."""

"""Providers' audit logs: what was done with a token at GitHub, Slack and Atlassian, after it was opened."""

"""GitHub, Slack and Atlassian: is this token alive, and revoke it."""

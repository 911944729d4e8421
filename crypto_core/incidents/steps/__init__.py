"""Working on the steps of an incident: actions, checks, evidence, decisions."""

"""The report of an incident: one document, three forms, one signature."""

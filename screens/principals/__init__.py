"""A principal: what it opened and could have opened, blocking it, and an incident about it."""

"""What a rule says, whoever made it: severity, and the techniques that it is about."""

"""The command line behind the colon: every action by its name."""

"""The command line behind the colon, and the palette: every action by its name."""

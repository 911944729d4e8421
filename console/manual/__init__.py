"""The parts of the manual that the command prints."""

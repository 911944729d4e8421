"""Completion of the command in a shell: scripts, and what a word that is being typed may become."""

COMPLETING = "_KEYDECK_COMPLETE"
"""Set in the environment where a shell asks; it holds the shell's name."""
WAITING = "_KEYDECK_COMPLETE_SECONDS"
"""May be set beside it: for how many seconds names are looked for, other than 1.5."""

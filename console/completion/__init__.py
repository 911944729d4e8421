"""Completion of the command in a shell: scripts, and what a word that is being typed may become."""

COMPLETING = "_KEYDECK_COMPLETE"
"""Set in the environment where a shell asks; it holds the shell's name."""

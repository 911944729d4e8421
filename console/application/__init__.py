"""The Textual application on a terminal, from its start to its end."""

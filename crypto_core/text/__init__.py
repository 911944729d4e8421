"""Text that is safe to show: foreign text made inert, counted nouns."""

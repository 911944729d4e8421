"""Practising in the sandbox: the demo with its story, its drill, and game days with a score."""

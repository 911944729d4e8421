"""Processes of this host that work on jobs, and how they are interrupted."""

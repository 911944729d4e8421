"""Posture: rules about keys, their access, their use and the trails that record it, as findings."""

"""Findings of all rules, with their severity and techniques."""

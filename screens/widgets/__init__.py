"""Widgets that several screens show."""

"""Athena over a trail's files, and over Security Lake's tables."""

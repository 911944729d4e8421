"""Connections to PostgreSQL: engines, time limits, and statements that are cut short."""

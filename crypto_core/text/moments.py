"""Moments as an operator reads them."""

from __future__ import annotations

from datetime import UTC, datetime


def in_utc(moment: datetime | None, unknown: str = "?") -> str:
    """Return "2026-05-01 09:30:00 UTC", or `unknown` for None."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if moment else unknown

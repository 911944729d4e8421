"""Numbers with their noun, as an operator reads them."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """Return "1 token", "2 tokens", "12,000 tokens"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"

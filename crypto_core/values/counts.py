"""Numbers with their noun, and the first of many, as an operator reads them."""

from __future__ import annotations

from collections.abc import Sequence


def counted(number: int, noun: str) -> str:
    """Return "1 token", "2 tokens", "12,000 tokens"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def listed(texts: Sequence[str], most: int) -> str:
    """Return "a, b, c and 12 more": at most so many of some texts."""
    more = len(texts) - most
    return ", ".join(texts[:most]) + (f" and {more:,} more" if more > 0 else "")


def first_lines(lines: Sequence[str], most: int) -> tuple[str, ...]:
    """Return at most so many lines, and in one of its own how many more there are."""
    more = len(lines) - most
    return (*lines[:most], f"and {more:,} more") if more > 0 else tuple(lines)

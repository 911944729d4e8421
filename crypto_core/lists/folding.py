"""Texts as filters compare them: in lower case, alike here and in the databases."""

from __future__ import annotations


def lower(text: str) -> str:
    """The text in lower case, character by character, as PostgreSQL's lower() in C.UTF-8 has it."""
    if text.isascii():
        return text.lower()
    return "".join(small if len(small := c.lower()) == 1 else c for c in text)

"""TOML (toml.io, version 1.0.0) that somebody else may have written: bounded in size and time."""

from __future__ import annotations

import tomllib
from typing import Any

SIZE_LIMIT = 256 * 1024
"""Bytes of a TOML text."""
_MOST_DOTS = 200
"""Dots in one line: a key of many parts takes time by their number's square."""


def read_toml(content: bytes) -> dict[str, Any]:
    """Return the document that a text is. Raises ValueError, whose text says what is wrong, of "it"."""
    if len(content) > SIZE_LIMIT:
        raise ValueError(f"longer than {SIZE_LIMIT // 1024} KiB")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise ValueError("not text in UTF-8") from None
    for number, line in enumerate(text.split("\n"), start=1):
        if line.count(".") > _MOST_DOTS:
            raise ValueError(f"not TOML that can be read: line {number:,} has more than {_MOST_DOTS} dots")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("not TOML that can be read: nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"not TOML: {error}") from error

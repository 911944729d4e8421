"""Patterns as IAM policies have them: `*` stands for any characters, `?` for one."""

from __future__ import annotations

import re
from functools import lru_cache


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    written = "".join(".*" if c == "*" else "." if c == "?" else re.escape(c) for c in _squeezed(pattern))
    return re.compile(written, re.DOTALL)


def _squeezed(pattern: str) -> str:
    """The pattern with no two stars side by side: they mean one, and cost the matcher its time."""
    return re.sub(r"\*+", "*", pattern)


def like(pattern: str, text: str) -> bool:
    """Return whether a text is of a pattern, with regard to case."""
    return _compiled(pattern).fullmatch(text) is not None

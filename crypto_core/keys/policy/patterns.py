"""Patterns as IAM policies have them: `*` stands for any characters, `?` for one."""

from __future__ import annotations

import re
from functools import lru_cache


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    # Stars side by side mean one, and cost the matcher its time.
    squeezed = re.sub(r"\*+", "*", pattern)
    written = "".join(".*" if c == "*" else "." if c == "?" else re.escape(c) for c in squeezed)
    return re.compile(written, re.DOTALL)


def like(pattern: str, text: str) -> bool:
    """Return whether a text is of a pattern, with regard to case."""
    return _compiled(pattern).fullmatch(text) is not None

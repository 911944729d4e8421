"""Text that comes from outside (rows, ARNs, user agents, error messages) made safe to show.

Unicode general categories: Unicode Standard, chapter 4.5. Dropped are control characters (Cc: ESC, NUL,
newline, …), format characters (Cf: bidirectional overrides, zero-width characters, …), line and paragraph
separators (Zl, Zp) and lone surrogates (Cs), which no terminal or file can hold. What is left is data:
whoever shows it passes it on as plain text, never as markup.
"""

from __future__ import annotations

import re
import unicodedata

_DROPPED = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_BREAKS = re.compile(r"[\t\n\v\f\r\x85\u2028\u2029]+")

DEFAULT_LIMIT = 512
"""Characters kept of one foreign text unless the caller asks for another limit."""


def clean(text: object, limit: int = DEFAULT_LIMIT) -> str:
    """Return `text` on one line, without control or format characters, at most `limit` characters long.

    Line breaks and tabs become one space. A shortened text ends in "…". `None` becomes "".
    """
    if text is None:
        return ""
    # Cut first: cleaning a 10 MB field only to show 512 characters of it would stall the screen. Sixteen
    # times the limit leaves room for what is dropped.
    raw = str(text)
    head = raw[: limit * 16]
    if not (head.isascii() and head.isprintable()):
        head = _BREAKS.sub(" ", head)
        head = "".join(c for c in head if unicodedata.category(c) not in _DROPPED)
    if len(head) > limit or len(raw) > limit * 16:
        return (head[: max(limit - 1, 0)] + "…")[:limit]
    return head

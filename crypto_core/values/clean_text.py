"""Text that comes from outside (rows, ARNs, user agents, error messages) made safe to show.

Unicode general categories: Unicode Standard, chapter 4.5. Dropped are control characters (Cc: ESC, NUL,
newline, …), format characters (Cf: bidirectional overrides, zero-width characters, …), line and paragraph
separators (Zl, Zp) and lone surrogates (Cs), which no terminal or file can hold. What is left is data:
whoever shows it passes it on as plain text, never as markup.

A text is cleaned once, where a row model is built or an error is made, and is `CleanText` from there on. What
is compared, written or authorised on stays as it came: a cleaned name is not that name.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Any, Final, NewType, TypeVar

_DROPPED = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_NOT_PLAIN = re.compile(r"[^\x20-\x7e\n]")
_BREAKS = re.compile(r"[\t\n\v\f\r\x85\u2028\u2029]+")

CleanText = NewType("CleanText", str)
"""Foreign text that was made safe to show. Only this module makes one."""

AnyText = TypeVar("AnyText", bound=str)
Model = TypeVar("Model")

NO_TEXT: Final = CleanText("")
"""Stands where a foreign text is absent."""

DEFAULT_LIMIT = 512


def clean(text: object, limit: int = DEFAULT_LIMIT) -> CleanText:
    """Return `text` on one line, without control or format characters, at most `limit` characters long.

    Line breaks and tabs become one space. A shortened text ends in "…". `None` becomes "".
    """
    if text is None:
        return NO_TEXT
    raw = str(text)
    if len(raw) <= limit and raw.isascii() and raw.isprintable():
        return CleanText(raw)  # as nearly all are
    # Cut first: cleaning a 10 MB field only to show 512 characters of it would stall the screen. Sixteen
    # times the limit leaves room for what is dropped.
    head = _BREAKS.sub(" ", raw[: limit * 16])
    head = "".join(c for c in head if unicodedata.category(c) not in _DROPPED)
    if len(head) <= limit and len(raw) > limit * 16:
        head = f"{head[: max(limit - 1, 0)]}…"
    return CleanText(shortened(head, limit))


def json_escaped(text: str) -> str:
    """Return a JSON text in which what `clean` drops, but for line ends, is written as JSON escapes it."""
    return _NOT_PLAIN.sub(_json_escape, text)


def _json_escape(found: re.Match[str]) -> str:
    return json.dumps(found[0])[1:-1] if unicodedata.category(found[0]) in _DROPPED else found[0]


def cleans(every: int = 0, *, raw: Iterable[str] = (), **limits: int) -> Callable[[type[Model]], type[Model]]:
    """Let a dataclass clean its fields as it is made: `every` one but for `raw`, or those named, to a limit.

    For models whose sentences are put together from all kinds of parts, or that hold what boto3 or SQL
    answered. What is acted on is `raw`. Of tuples and mappings every text is cleaned; what is no text stays.
    Stands below `@dataclass`.
    """

    def made(model: type[Model]) -> type[Model]:
        others = (name for name in model.__annotations__ if name not in raw) if every else ()
        cleaned = dict.fromkeys(others, every) | limits
        inherited = getattr(model, "__post_init__", None)

        def clean_fields(self: Model) -> None:
            if inherited is not None:
                inherited(self)
            for name, limit in cleaned.items():
                object.__setattr__(self, name, _within(getattr(self, name), limit))

        model.__post_init__ = clean_fields  # type: ignore[attr-defined]
        return model

    return made


def _within(value: Any, limit: int) -> Any:
    if isinstance(value, tuple):
        return tuple(_within(one, limit) for one in value)
    if isinstance(value, Mapping):
        return {clean(name, limit): _within(one, limit) for name, one in value.items()}
    return clean(value, limit) if isinstance(value, str) and not isinstance(value, Enum) else value


def shortened(text: AnyText, limit: int) -> AnyText:
    """Return `text`, or its beginning with "…" where there is only room for `limit` characters."""
    return text if len(text) <= limit else type(text)((text[: max(limit - 1, 0)] + "…")[:limit])

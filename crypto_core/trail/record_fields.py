"""What filters ask of the record itself: request parameters and encryption contexts.

There are as many names of these as operations have, so the store has no columns of them: the record is read
when it is asked, of those events alone that pass the rest of the filter. `param.keyId` is a parameter by its
name, `param.*` is any, `context.keydeck:id` a pair of an encryption context. Names are in lower case.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from crypto_core.lists.regular_expression import lower
from crypto_core.text.clean_text import CleanText, clean
from crypto_core.trail.record_reader import load

KEYED = ("param", "context")

_SHORT = {"grantee": "granteeprincipal", "retiring": "retiringprincipal"}
_CONTEXTS = ("encryptioncontext", "sourceencryptioncontext", "destinationencryptioncontext")
_LONGEST = 65_536
"""Characters of a value, such as a policy."""
_MOST = 1_000


def is_of_record(field: str | None) -> bool:
    """True for a field that the record is read for."""
    return field is not None and field.partition(".")[0] in KEYED and "." in field


def record_values(record: bytes, field: str) -> tuple[CleanText, ...]:
    """Return the texts that a record's JSON has under such a field; of lists and objects, each value."""
    kind, _, name = field.partition(".")
    if not _may_have(record, name):
        return ()
    try:
        parsed = load(record)
    except ValueError:
        return ()
    request = parsed.get("requestParameters") if isinstance(parsed, dict) else None
    if kind == "context":
        found = [
            pair for context in _CONTEXTS for one in _named(request, context) for pair in _named(one, name)
        ]
    else:
        found = _within(request, _SHORT.get(name, name).split("."))
    texts = (text for value in found for text in _texts(value))
    return tuple(clean(text, _LONGEST) for text, _ in zip(texts, range(_MOST), strict=False))


def _may_have(record: bytes, name: str) -> bool:
    """False where the name does not stand in the record: most records need not be parsed."""
    last = _SHORT.get(name, name).rsplit(".", 1)[-1]
    return last == "*" or b"\\u" in record or not last.isascii() or last.encode() in record.lower()


def _within(value: Any, names: list[str]) -> list[Any]:
    found = [value]
    for name in names:
        found = [inner for one in found for inner in _named(one, name)]
    return found


def _named(value: Any, name: str) -> list[Any]:
    if isinstance(value, list):
        return [inner for one in value for inner in _named(one, name)] if len(value) <= _MOST else []
    if not isinstance(value, dict):
        return []
    return [inner for key, inner in value.items() if name == "*" or lower(key) == name]


def _texts(value: Any) -> Iterator[str]:
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
        elif isinstance(one, bool):
            yield "true" if one else "false"
        elif one is not None:
            yield str(one)

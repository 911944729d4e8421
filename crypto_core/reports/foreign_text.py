"""How foreign text gets into a document: cleaned, and without whatever looks like a secret.

It is built from texts as they are and masked once, whole, when it is done: no part can be forgotten.
"""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from typing import Any, TypeVar

from crypto_core.log.redaction import redacted
from crypto_core.values.clean_text import CleanText, clean

Document = TypeVar("Document")

TEXT_LIMIT = 1000
"""Characters of one text in a document."""

_DIGESTS = ("sha256", "runbook_digest")
_SHA256 = re.compile("[0-9a-f]{64}")


def masked(document: Document) -> Document:
    """Return a document with every text in it as it may be shown; SHA-256s in hex stay."""
    done: Document = _masked(document)
    return done


def shown(text: object, limit: int = TEXT_LIMIT) -> CleanText:
    """Return `text` on one line, without control characters, with tokens, envelopes and their like hidden."""
    # Cleaned twice: first so that a secret cut in pieces by control characters is one again and a huge text
    # doesn't stall, then for the limit.
    return clean(redacted(clean(text, 2 * limit)), limit)


def _masked(value: Any, name: str = "") -> Any:
    if isinstance(value, str) and not isinstance(value, Enum):
        return value if name in _DIGESTS and _SHA256.fullmatch(value) else shown(value)
    if isinstance(value, tuple):
        return tuple(map(_masked, value))
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{f.name: _masked(getattr(value, f.name), f.name) for f in fields(value)})
    return value

"""How foreign text gets into a report: cleaned, and without whatever looks like a secret."""

from __future__ import annotations

import re

from crypto_core.log.redaction import redacted
from crypto_core.text.cleaning import clean

TEXT_LIMIT = 1000
"""Characters of one foreign text in a report."""

_SHA256 = re.compile("[0-9a-f]{64}")


def shown(text: object, limit: int = TEXT_LIMIT) -> str:
    """Return `text` on one line, without control characters, with tokens, envelopes and their like hidden."""
    # Cleaned twice: first so that a secret cut in pieces by control characters is one again and a huge text
    # doesn't stall, then for the limit.
    return clean(redacted(clean(text, 2 * limit)), limit)


def sha256_shown(text: str) -> str:
    """Return a SHA-256 in hex as it is, anything else masked."""
    return text if _SHA256.fullmatch(text) else shown(text, 100)

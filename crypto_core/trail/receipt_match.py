"""Which of CloudTrail's records a receipt explains: the same request, operation and time.

KMS's answer carries a request id, and CloudTrail's record of the call has it as `requestID` (CloudTrail User
Guide, "CloudTrail record contents"). Only calls that opened, sealed or rewrapped something have receipts.
"""

from __future__ import annotations

import re

from crypto_core.keys.key_uses import MAKES, OPENS
from crypto_core.trail.columns import DAY, stored_id
from crypto_core.trail.event import LONG, MOST_SKEW, TrailEvent
from crypto_core.values.clean_text import clean

OPERATIONS = {name: number for number, name in enumerate((*OPENS, *MAKES), start=1)}
"""The operations that receipts are written of, by the number that the store keeps. New ones come last."""
OTHER = 0
APART = int(MOST_SKEW.total_seconds())
"""Seconds that a receipt and its call's record are apart at most: AWS refuses a clock that is further off."""

VALUE = b"#"

_SHA256 = re.compile(r"[0-9a-f]{64}")


def request_of(event: TrailEvent) -> tuple[bytes, int] | None:
    """Return the request id and the operation's number of a call that a receipt can explain, else None."""
    if not event.is_kms or event.error_code or not event.request_id:
        return None
    number = OPERATIONS.get(event.name)
    return None if number is None else (stored_id(event.request_id), number)


def subject_of(text: str) -> bytes:
    """Return what a receipt is about as the store keeps it: a reference, or a stored value's SHA-256."""
    if not text:
        return b""
    return VALUE + bytes.fromhex(text) if _SHA256.fullmatch(text) else b"=" + text.encode()


def subject_text(subject: bytes) -> str:
    """Return it as text again: a reference, or lower-case hex."""
    return clean(subject[1:].decode("utf-8", "replace"), LONG) if is_token(subject) else subject[1:].hex()


def is_token(subject: bytes) -> bool:
    """Return whether it is a reference, and no SHA-256."""
    return subject.startswith(b"=")


def days_near(at: int) -> tuple[int, ...]:
    """Return the days since 1970 on which the other one of a receipt and its record can be."""
    return tuple(dict.fromkeys(second // DAY for second in (at, at - APART, at + APART)))

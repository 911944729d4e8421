"""Reading what KMS's HTTP endpoint sends: AWS JSON 1.1, its refusals, and its clock."""

from __future__ import annotations

import binascii
from email.utils import parsedate_to_datetime
from typing import Any

from crypto_core.reencryption.bulk.retrying import Refused
from crypto_core.reencryption.bulk.wire import MAX_ANSWER_BYTES, WireAnswer

_SKEWED = frozenset({"RequestExpired", "RequestTimeTooSkewed"})
_SKEWED_SIGNATURE = ("Signature expired", "Signature not yet current")
"""How InvalidSignatureException tells that only the clock is wrong."""

LEAST_SKEW_SECONDS = 30.0
"""Less than this is no reason for AWS to refuse a signature: it allows five minutes."""


def document_of(answer: WireAnswer) -> dict[str, Any] | None:
    """Return the JSON object that the body is, None if it is none or too long to be one of KMS's."""
    import orjson

    if len(answer.body) > MAX_ANSWER_BYTES:
        return None
    try:
        document = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        return None  # The exception carries the body, so it ends here.
    return document if isinstance(document, dict) else None


def refusal_of(answer: WireAnswer) -> Refused:
    """Return what an answer other than 200 says, as botocore reads it."""
    document = document_of(answer) or {}
    code = str(document.get("__type") or answer.headers.get("x-amzn-errortype") or answer.status)
    message = document.get("message") or document.get("Message") or ""
    # "com.amazonaws.kms#Name" in the body, "Name:http://…" in the header.
    return Refused(answer.status, code.rpartition("#")[2].partition(":")[0], str(message), answer.headers)


def request_id_of(answer: WireAnswer) -> str:
    """Return the id that KMS gave the call, "" where there is none."""
    for name, value in answer.fields:
        if len(name) == 16 and name.lower() == b"x-amzn-requestid":
            return value.decode("latin-1")
    return ""


def take_bytes(document: dict[str, Any], name: str) -> None:
    """Put the bytes in the place of their base64; nothing where they are none."""
    try:
        document[name] = binascii.a2b_base64(document.get(name) or "", strict_mode=True)
    except (binascii.Error, TypeError, ValueError):
        document[name] = b""


def skew_of(refused: Refused, now: float, signed: float) -> float | None:
    """Return AWS's clock less `now`, in seconds; None unless it refused a signature of `signed` for that."""
    signature = refused.code == "InvalidSignatureException" and refused.message.startswith(_SKEWED_SIGNATURE)
    if not signature and refused.code not in _SKEWED:
        return None
    try:
        told = parsedate_to_datetime(refused.headers.get("date", "")).timestamp()
    except (TypeError, ValueError):
        return None
    return told - now if abs(told - signed) >= LEAST_SKEW_SECONDS else None

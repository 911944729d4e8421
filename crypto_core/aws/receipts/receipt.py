"""Receipts as they are written and read: one JSON object a line.

A receipt proves nothing by itself: whoever may write where receipts are kept can invent one. It explains a
call that CloudTrail recorded.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from json.encoder import encode_basestring_ascii as _quoted
from typing import Any

from crypto_core.values.clean_text import CleanText, clean
from crypto_core.values.errors import ReceiptError

OPERATIONS = ("Decrypt", "GenerateDataKey", "ReEncrypt")
"""The KMS calls that make or open a data key, or wrap it anew."""

LONGEST_LINE = 8_192
"""Characters of a line that may be a receipt."""

_SHA256 = re.compile(r"[0-9a-f]{64}")
_REQUEST_ID = re.compile(r"[0-9A-Za-z-]{1,128}")


@dataclass(frozen=True, slots=True)
class ReceiptProcess:
    """The process that wrote a receipt. `pid` is unique on its host at one time only."""

    host: CleanText
    pid: int
    service: CleanText


@dataclass(frozen=True, slots=True)
class Receipt:
    """One KMS call that brought a data key, and the token that it was for.

    `request_id` is KMS's, the `requestID` of CloudTrail's record; "" for a call that got no answer. `token`
    is the token's reference as text. Where the caller named no row, `stored_sha256` is the SHA-256 of the
    stored value's UTF-8, in hexadecimal: of one that was opened, as the caller had read it; of one that was
    sealed, as it was handed out. Both are None where the call was for no stored token. `unanswered` counts
    attempts of the same call, beside `request_id`, whose answer did not arrive: KMS may have served and
    recorded them under ids that nobody knows.
    """

    request_id: CleanText
    operation: CleanText
    at: datetime
    token: CleanText | None
    stored_sha256: str | None
    process: ReceiptProcess
    unanswered: int = 0

    def as_json_line(self) -> str:
        token = "null" if self.token is None else _quoted(self.token)
        digest = "null" if self.stored_sha256 is None else _quoted(self.stored_sha256)
        more = f', "unanswered": {self.unanswered}' if self.unanswered else ""
        return (
            f'{{"request_id": {_quoted(self.request_id)}, "operation": {_quoted(self.operation)},'
            f' "at": "{self.at.isoformat()}", "token": {token}, "stored_sha256": {digest},'
            f" {_process_json(self.process)}{more}}}"
        )


@dataclass(frozen=True, slots=True)
class LostReceipts:
    """So many receipts of a process were not written: its calls between `since` and `at` may have none."""

    lost: int
    since: datetime
    at: datetime
    process: ReceiptProcess

    def as_json_line(self) -> str:
        times = f'"since": "{self.since.isoformat()}", "at": "{self.at.isoformat()}"'
        return f'{{"receipts_lost": {self.lost}, {times}, {_process_json(self.process)}}}'


def read_receipt(line: str) -> Receipt | LostReceipts | None:
    """Return what a line says, None for anything else. Raises ReceiptError, which names a wrong field."""
    text = line.strip()
    if len(text) > LONGEST_LINE or not text.startswith("{") or not text.endswith("}"):
        return None
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict):
        return None
    if "receipts_lost" in document:
        return LostReceipts(
            _count(document, "receipts_lost"),
            _time(document, "since"),
            _time(document, "at"),
            _process(document),
        )
    if "request_id" not in document or "operation" not in document:
        return None
    return receipt_of(document)


def receipt_of(document: dict[str, Any]) -> Receipt:
    """Return the receipt of its fields. Raises ReceiptError, which names the field alone."""
    request_id, operation = document.get("request_id"), document.get("operation")
    if not isinstance(request_id, str) or (request_id and not _REQUEST_ID.fullmatch(request_id)):
        raise _wrong("request_id", "is no request id")
    if operation not in OPERATIONS:
        raise _wrong("operation", f"is none of {', '.join(OPERATIONS)}")
    token, digest = document.get("token"), document.get("stored_sha256")
    if token is not None and (not isinstance(token, str) or not token):
        raise _wrong("token", "is no token reference")
    if digest is not None and (not isinstance(digest, str) or not _SHA256.fullmatch(digest)):
        raise _wrong("stored_sha256", "is no SHA-256 in lower-case hexadecimal")
    return Receipt(
        clean(request_id),
        clean(operation),
        _time(document, "at"),
        None if token is None else clean(token, 1_000),
        digest,
        _process(document),
        _count(document, "unanswered") if "unanswered" in document else 0,
    )


def _process(document: dict[str, Any]) -> ReceiptProcess:
    host, service = document.get("host"), document.get("service")
    if not isinstance(host, str) or not isinstance(service, str):
        raise _wrong("host" if not isinstance(host, str) else "service", "is no text")
    return ReceiptProcess(clean(host, 255), _count(document, "pid"), clean(service, 255))


def _count(document: dict[str, Any], name: str) -> int:
    value = document.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**31:
        raise _wrong(name, "is no count")
    return value


def _time(document: dict[str, Any], name: str) -> datetime:
    value = document.get(name)
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
        if moment is not None and moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise _wrong(name, "is no time with its offset")


def _wrong(name: str, why: str) -> ReceiptError:
    return ReceiptError(f"The field {name} of a receipt {why}.", remedy="Write receipts with crypto_core.")


def _process_json(process: ReceiptProcess) -> str:
    # Put together by hand: a receipt is written for every call, and json.dumps takes twice as long.
    host, service = _quoted(process.host), _quoted(process.service)
    return f'"host": {host}, "pid": {process.pid}, "service": {service}'

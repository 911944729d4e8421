"""Receipts among lines: a line is one, has one behind a logger's prefix, or within a text of a JSON log line.

Docker, Kubernetes and most log shippers wrap what a process prints into JSON, as the text of a field. Lines
that hold none are passed over and counted: a log has others as well.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from crypto_core.errors import ReceiptError
from crypto_core.receipts.receipt import LONGEST_LINE, LostReceipts, Receipt, read_receipt

LONGEST = 4 * LONGEST_LINE
"""Bytes of a line that is looked at: a receipt, escaped, within another line."""
_SIGNS = (b"request_id", b"receipts_lost")

Found = Receipt | LostReceipts | ReceiptError | None
"""What a line holds: a receipt, one that is malformed, or none."""


def receipts_in(pieces: Iterable[bytes]) -> Iterator[Found]:
    """Yield what each line of a file's bytes holds. Memory is bounded, however long a line is."""
    rest, dropping = b"", False
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            yield None if dropping or len(line) > LONGEST else found_in(line)
            dropping = False
        if len(rest) > LONGEST:
            rest, dropping = b"", True
    if dropping:
        yield None
    elif rest:
        yield found_in(rest)


def found_in(line: bytes) -> Found:
    """Return the receipt in a line; None where there is none."""
    if not any(sign in line for sign in _SIGNS):
        return None
    text = line.decode("utf-8", "replace")
    begin, end = text.find("{"), text.rfind("}")
    if begin < 0 or end < begin:
        return None
    document = text[begin : end + 1]
    try:
        return read_receipt(document) or _wrapped(document)
    except ReceiptError as error:
        return error


def _wrapped(document: str) -> Receipt | LostReceipts | None:
    """A receipt that is a text, or an object, of a JSON object's field. Raises ReceiptError."""
    try:
        fields = json.loads(document)
    except (ValueError, RecursionError):
        return None
    for value in fields.values() if isinstance(fields, dict) else ():
        text = json.dumps(value) if isinstance(value, dict) else value
        if isinstance(text, str) and (begin := text.find("{")) >= 0:
            found = read_receipt(text[begin : text.rfind("}") + 1])
            if found is not None:
                return found
    return None

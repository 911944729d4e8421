"""The tables of receipts, and of the calls that they can explain, beside those of events.

Request ids are random: in one order, their index would be written all over. Both tables are kept by day, and
the other one of a receipt and its record is at most minutes away.
"""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, LargeBinary, Select, Table, and_, func, or_, select

from crypto_core.trail.receipt_match import APART, subject_of
from crypto_core.trail.store.schema import metadata, numbers, table_by_key, texts

UNKNOWN, UNKNOWN_BYTES = b"?", 17
"""How the request id begins that stands for one that nobody knows, and how long it is."""

call = table_by_key(
    "call",
    Column("day", Integer, primary_key=True),
    Column("request", LargeBinary, primary_key=True),
    Column("event", Integer, primary_key=True),
    *numbers("at", "operation"),
)
"""The successful calls of KMS that receipts are written of, by request id; `event` is the event's number."""

receipt = table_by_key(
    "receipt",
    Column("day", Integer, primary_key=True),
    Column("request", LargeBinary, primary_key=True),
    Column("subject", LargeBinary, primary_key=True),
    *numbers("at", "operation", key=True),
    *numbers("process", "unanswered"),
)
"""`subject` is the token reference or the stored value's SHA-256, see receipt_match; empty for neither.

One with another time or operation is another one: a forged receipt takes no true one's place.

`unanswered` are attempts of the same call that KMS may have served under ids that nobody knows.
"""

receipts_lost = table_by_key("receipts_lost", *numbers("process", "since", "at", key=True), *numbers("lost"))
"""So many receipts of a process were not written between two seconds."""

receipt_process = Table(
    "receipt_process",
    metadata,
    Column("id", Integer, primary_key=True),
    *texts("host"),
    *numbers("pid"),
    *texts("service", "writer"),
)
"""`writer` is the database role that inserted its receipts, which no process can choose; "" for a file's."""

receipt_reached = Table(
    "receipt_reached", metadata, *texts("source", key=True), *texts("position"), *numbers("until")
)
"""How far a source's receipts, of a table or of all files, were taken in, and until when all of them."""

Index("ix_receipt_subject", receipt.c.subject, receipt.c.at)
Index(
    "ix_receipt_process",
    *(receipt_process.c[name] for name in ("host", "pid", "service", "writer")),
    unique=True,
)

TABLES = (call, receipt, receipts_lost, receipt_process, receipt_reached)

same_call = and_(
    # Spelt out, each day is looked up in the index.
    call.c.day.in_((receipt.c.day - 1, receipt.c.day, receipt.c.day + 1)),
    call.c.request == receipt.c.request,
)
explains = and_(
    same_call, call.c.operation == receipt.c.operation, func.abs(call.c.at - receipt.c.at) <= APART
)
contradicts = and_(
    same_call, or_(call.c.operation != receipt.c.operation, func.abs(call.c.at - receipt.c.at) > APART)
)


def explained_by(subject: str) -> Select[tuple[int]]:
    """Return the query of the numbers of the events that receipts about a token or a stored value explain."""
    return select(call.c.event).join(receipt, explains).where(receipt.c.subject == subject_of(subject))

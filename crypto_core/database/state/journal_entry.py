"""How an entry of the journal is read from its table. What an entry is: `proof.forms`.

Decisions rest on entries that were checked when they were made, and on nothing else: see `witnessed`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from sqlalchemy import ColumnElement, Select, Text, and_, cast, extract, select

from crypto_core.database.schema import journal as table
from crypto_core.guard.guarded_change import Outcome
from crypto_core.proof.forms import UNREADABLE, JournalEntry, document_of

NO_MOMENT = datetime.min.replace(tzinfo=UTC)
"""Stands for a moment outside Python's range, such as PostgreSQL's infinity: never written here."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NOTHING = "\0"
"""Stands for NULL, where a table was altered to take it: no text of PostgreSQL's holds it."""


def microseconds(column: ColumnElement[Any]) -> ColumnElement[str]:
    """Return what selects a moment as text: its microseconds since 1970.

    The driver's own reading follows the session's zone, and fails for moments that Python has not.
    """
    return cast(extract("epoch", column) * 1_000_000, Text)


def moment_of(told: str | None) -> datetime:
    """Return the moment that `microseconds` gave, in UTC; `NO_MOMENT` outside Python's range."""
    try:
        return _EPOCH + timedelta(microseconds=round(Decimal(told or "")))
    except (InvalidOperation, ValueError, OverflowError):
        return NO_MOMENT


def witnessed(*actions: str, outcome: Outcome = Outcome.DONE, earlier: bool = False) -> ColumnElement[bool]:
    """Return what selects the entries of actions that the database checked when it made them.

    With `earlier` come those from before it did, which may deny something, or count where something else
    proves them; they never grant anything by themselves.
    """
    c = table.c
    made = c.checked.is_not(False) if earlier else c.checked
    return and_(c.action.in_(actions), c.outcome == outcome.value, made)


def selecting() -> Select[Any]:
    """Return the statement for whole entries, in no order yet; `entry_of` reads its rows."""
    others = [column for column in table.c if column.name not in ("at", "transaction_id")]
    return select(*others, microseconds(table.c.at).label("at"))


def entry_of(row: Any) -> JournalEntry:
    texts = ("actor", "host", "action", "subject", "outcome", "detail")
    read: dict[str, Any] = {name: _text(getattr(row, name)) for name in texts}
    return JournalEntry(
        seq=row.seq or 0,
        at=moment_of(row.at),
        previous=bytes(row.previous or b""),
        digest=bytes(row.digest or b""),
        database_role=row.database_role,
        database_id=None if row.database_id is None else str(row.database_id),
        checked=row.checked,
        **read,
    )


def told_in(detail: str) -> dict[str, Any]:
    """Return an entry's detail, empty where it can't be read."""
    try:
        told = document_of(detail)
    except UNREADABLE:
        return {}
    return told if isinstance(told, dict) else {}


def _text(value: str | None) -> str:
    return _NOTHING if value is None else value

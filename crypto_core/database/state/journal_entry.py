"""One entry of the journal: its fields, the digest over them, and how it is read from the table.

The digest is SHA-256 over the previous digest and the entry's fields, each prefixed with its length (8 bytes,
big-endian), so no two different entries have the same encoding. The first entry's predecessor is 32 zero
bytes. Text is hashed as it is stored, never normalised: two spellings of one letter are two texts.

There are four forms, and all may stand in one chain. Entries with a database role have `v2`, which is no
entry's number, before their fields and the role behind them; those with a database id have `v3` and that id
before them instead; those that say whether they were checked have `v4` in its place, and `checked` or `text`
before the role. The database's functions make these, and compute the same in SQL. Entries without a role were
inserted by consoles, and have none of it.

Decisions rest on entries that were checked when they were made, and on nothing else: see `witnessed`.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from sqlalchemy import ColumnElement, Select, Text, and_, cast, extract, select

from crypto_core.database.schema import journal as table
from crypto_core.guard.outcome import Outcome
from crypto_core.guard.signature import SigningTime

FIRST = bytes(32)

NO_MOMENT = datetime.min.replace(tzinfo=UTC)
"""Stands for a moment outside Python's range, such as PostgreSQL's infinity: never written here."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NOTHING = "\0"
"""Stands for NULL, where a table was altered to take it: no text of PostgreSQL's holds it."""


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One journal entry. `detail` is JSON text; it never holds a token or an envelope.

    `database_role` is who had logged in to PostgreSQL, as the server says; None in entries of the first form.
    `database_id` tells the database, and its copies, from others; None in entries of the first two forms.
    `checked` is True where a function of its own checked what it records, None before there were any.
    `actor`, `host` and what follows are what the console says.
    """

    seq: int
    at: datetime
    actor: str
    host: str
    action: str
    subject: str
    outcome: str
    detail: str
    previous: bytes
    digest: bytes
    database_role: str | None = None
    database_id: str | None = None
    checked: bool | None = None

    @property
    def who(self) -> str:
        """Who acted, as the console says; and who had logged in to PostgreSQL, where that is another."""
        if self.database_role is None or self.actor.endswith(f", database role {self.database_role}"):
            return self.actor
        return f"{self.actor} (logged in as {self.database_role})"

    @property
    def evidence(self) -> SigningTime:
        """Its time, which PostgreSQL gave it, as evidence of when there was what it records."""
        clock = "" if self.database_role is not None else ", by the console's clock"
        return SigningTime(self.at, f"the journal's entry {self.seq}{clock}")

    def computed_digest(self) -> bytes:
        """What the digest must be for these fields."""
        form = [] if self.database_role is None else ["v2"]
        if self.database_id is not None:
            form = ["v3" if self.checked is None else "v4", self.database_id]
        role = [] if self.database_role is None else [self.database_role]
        if self.checked is not None:
            role.insert(0, "checked" if self.checked else "text")
        fields = (
            *form,
            str(self.seq),
            self.at.astimezone(UTC).isoformat(timespec="microseconds"),
            self.actor,
            self.host,
            self.action,
            self.subject,
            self.outcome,
            self.detail,
            *role,
        )
        state = hashlib.sha256(self.previous)
        for field in fields:
            encoded = field.encode()
            state.update(len(encoded).to_bytes(8, "big") + encoded)
        return state.digest()

    def as_json(self) -> dict[str, Any]:
        """One entry of what `keydeck journal list --json` prints."""
        told = {"at": self.at.isoformat(), "previous": self.previous.hex(), "digest": self.digest.hex()}
        return asdict(self) | told


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
    """Return the entry of a row, whatever has become of it."""
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
    """Return what an entry's detail tells, nothing where it can't be read."""
    try:
        told = json.loads(detail)
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _text(value: str | None) -> str:
    return _NOTHING if value is None else value

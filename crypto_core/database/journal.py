"""The journal: append-only, hash-chained record of changes, refusals and dry runs.

Each entry's digest is SHA-256 over the previous digest and the entry's fields, each prefixed with its length
(8 bytes, big-endian), so no two different entries have the same encoding. The first entry's predecessor is 32
zero bytes.
"""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Engine, func, insert, select

from crypto_core.database.engine import connected
from crypto_core.database.schema import journal as table
from crypto_core.foreign import clean

FIRST = bytes(32)
_LOCK = 0x6B657964  # "keyd": one writer at a time extends the chain


class Outcome(StrEnum):
    """How what was asked for ended."""

    STARTED = "started"
    DONE = "done"
    DRY_RUN = "dry run"
    REFUSED = "refused"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class Entry:
    """One journal entry. `detail` is JSON text; it never holds a token or an envelope."""

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

    def computed_digest(self) -> bytes:
        """What the digest must be for these fields."""
        fields = (
            str(self.seq),
            self.at.astimezone(UTC).isoformat(timespec="microseconds"),
            self.actor,
            self.host,
            self.action,
            self.subject,
            self.outcome,
            self.detail,
        )
        state = hashlib.sha256(self.previous)
        for field in fields:
            encoded = field.encode()
            state.update(len(encoded).to_bytes(8, "big") + encoded)
        return state.digest()


class Journal:
    """Writes and checks the journal of one database."""

    def __init__(
        self,
        engine: Engine,
        actor: Callable[[], str],
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`actor` says who acts (AWS identity and database role); asked at each entry."""
        self.engine = engine
        self._actor = actor
        self._clock = clock

    def actor(self) -> str:
        """Return who acts. May ask AWS and the database, so not while rows are locked."""
        return self._actor()

    def record(
        self,
        action: str,
        subject: str,
        outcome: Outcome,
        detail: Mapping[str, Any] | None = None,
        *,
        within: Connection | None = None,
        actor: str | None = None,
    ) -> None:
        """Append one entry, in the transaction of `within` where given. Raises DatabaseError.

        `actor` is for who had to ask before the transaction began; see `actor`.
        """
        if actor is None:
            actor = self.actor()
        if within is not None:
            self._append(within, actor, action, subject, outcome, detail)
            return
        with connected(self.engine, write=True) as connection:
            self._append(connection, actor, action, subject, outcome, detail)

    def _append(
        self,
        connection: Connection,
        actor: str,
        action: str,
        subject: str,
        outcome: Outcome,
        detail: Mapping[str, Any] | None,
    ) -> None:
        connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
        last = connection.execute(
            select(table.c.seq, table.c.digest).order_by(table.c.seq.desc()).limit(1)
        ).first()
        entry = Entry(
            seq=last.seq + 1 if last else 1,
            at=self._clock(),
            actor=clean(actor, 300),
            host=clean(socket.gethostname(), 100),
            action=clean(action, 100),
            subject=clean(subject, 500),
            outcome=outcome.value,
            detail=json.dumps(detail or {}, sort_keys=True, ensure_ascii=True),
            previous=bytes(last.digest) if last else FIRST,
            digest=b"",
        )
        values = {f: getattr(entry, f) for f in Entry.__slots__} | {"digest": entry.computed_digest()}
        connection.execute(insert(table), values)

    def entries(self, *, limit: int = 1000) -> tuple[Entry, ...]:
        """Return the newest `limit` entries, oldest first. Raises DatabaseError."""
        with connected(self.engine) as connection:
            rows = connection.execute(select(table).order_by(table.c.seq.desc()).limit(limit)).all()
        return tuple(_entry(row) for row in reversed(rows))

    def verify(self) -> str | None:
        """Return None if the chain is whole, else one sentence saying where it breaks."""
        previous, expected_seq = FIRST, 1
        with connected(self.engine) as connection:
            rows = connection.execution_options(yield_per=1000).execute(select(table).order_by(table.c.seq))
            for row in rows:
                entry = _entry(row)
                if entry.seq != expected_seq:
                    return f"Entry {expected_seq} is missing: the next one is {entry.seq}."
                if entry.previous != previous:
                    return f"Entry {entry.seq} does not follow the entry before it."
                if entry.digest != entry.computed_digest():
                    return f"Entry {entry.seq} was changed."
                previous, expected_seq = entry.digest, entry.seq + 1
        return None


def _entry(row: Any) -> Entry:
    values = dict(row._mapping)  # noqa: SLF001  # SQLAlchemy's documented row API
    return Entry(**values | {"previous": bytes(row.previous), "digest": bytes(row.digest)})

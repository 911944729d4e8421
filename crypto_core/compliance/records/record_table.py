"""Records of evidence in the journal's database: rows that `keydeck.write_evidence_record` alone writes.

That function gives the number, looks that the document names it and the digest of the record before, and
makes the journal's entry in the same transaction. What a record is: compliance/records/record.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Engine, Integer, Text, cast, func, select

from crypto_core.database.connection.engine import connected
from crypto_core.database.dialect import JSONB, as_stored
from crypto_core.database.schema import evidence_record as table
from crypto_core.database.schema import journal as journal_table
from crypto_core.database.state.journal import Journal, written_last
from crypto_core.database.state.journal_entry import entry_of, microseconds, moment_of, selecting, witnessed
from crypto_core.guard.signature import Signature
from crypto_core.proof.forms import PURGE, RECORD, JournalEntry, WrittenLast
from crypto_core.values.clean_text import clean


@dataclass(frozen=True, slots=True)
class _Record:
    number: int
    taken_at: datetime
    digest: bytes
    previous: bytes
    signature: Signature | None
    entry: int
    removal: int | None


@dataclass(frozen=True, slots=True)
class StoredRecord(_Record):
    """A row as it is stored. `document` is None once it was taken away; `signed` is what is signed of it."""

    document: str | None
    signed: bytes
    unsigned_because: str


@dataclass(frozen=True, slots=True)
class RecordOutline(_Record):
    """A row without its document. `whole`: its digest is that of the document; None without a document."""

    whole: bool | None


@dataclass(frozen=True, slots=True)
class RecordChainEnd:
    """The last record, 0 for none, with the journal's end as it is now."""

    number: int
    digest: bytes | None
    taken_at: datetime | None
    journal: WrittenLast | None


class EvidenceRecordTable:
    def __init__(self, engine: Engine, journal: Journal) -> None:
        self._engine = engine
        self._journal = journal

    def end(self) -> RecordChainEnd:
        c = table.c
        newest = select(c.number, c.digest, microseconds(c.taken_at)).order_by(c.number.desc()).limit(1)
        with connected(self._engine, snapshot=True) as connection:
            row = connection.execute(newest).first()
            last = written_last(connection)
        if row is None:
            return RecordChainEnd(0, None, None, last)
        return RecordChainEnd(row[0], bytes(row[1]), moment_of(row[2]), last)

    def as_stored(self, value: Any) -> Any:
        """Return a part of a document as the database can read it once it is in ASCII."""
        with connected(self._engine) as connection:
            return as_stored(connection, value, escaped=True)

    def write(
        self, document: str, signature: Signature | None, unsigned_because: str, *, keep_days: int = 0
    ) -> int:
        """Append a record with its journal entry, and take away documents that are older than `keep_days`.

        Returns its number. 0 days keeps all for ever; fewer than 400 are refused. Raises DatabaseError, with
        SQLSTATE 40001 where another record was written since `end` was read.
        """
        told = signature.as_json() if signature else None
        call = func.keydeck.write_evidence_record(
            cast(document, Text),
            cast(told, JSONB(none_as_null=True)),
            clean(unsigned_because, 500),
            clean(self._journal.actor(), 500),
            self._journal.host,
            cast(keep_days, Integer),
        )
        with connected(self._engine, write=True) as connection:
            return int(connection.execute(select(call)).scalar_one())

    def between(self, since: datetime, until: datetime) -> tuple[StoredRecord, ...]:
        return self._rows(table.c.taken_at >= since, table.c.taken_at < until)

    def before(self, number: int) -> StoredRecord | None:
        rows = self._rows(table.c.number < number, newest=1)
        return rows[0] if rows else None

    def outlines(self) -> tuple[RecordOutline, ...]:
        """Return all rows by number; PostgreSQL looks at the documents. Raises DatabaseError."""
        c = table.c
        whole = func.sha256(func.convert_to(c.document, "UTF8")) == c.digest
        columns = (*_columns(_Record), whole.label("whole"))
        with connected(self._engine) as connection:
            rows = connection.execute(select(*columns).order_by(c.number)).all()
        return tuple(RecordOutline(**_read(row), whole=row.whole) for row in rows)

    def entries(self) -> tuple[JournalEntry, ...]:
        """Return the journal's entries that name a record, or that documents were taken away.

        Raises DatabaseError.
        """
        done = selecting().where(witnessed(RECORD, PURGE, earlier=True)).order_by(journal_table.c.seq)
        with connected(self._engine) as connection:
            return tuple(map(entry_of, connection.execute(done)))

    def journal_digests(self, numbers: Sequence[int]) -> dict[int, bytes]:
        c = journal_table.c
        with connected(self._engine) as connection:
            rows = connection.execute(select(c.seq, c.digest).where(c.seq.in_(numbers)))
            return {number: bytes(digest) for number, digest in rows}

    def _rows(self, *which: ColumnElement[bool], newest: int = 0) -> tuple[StoredRecord, ...]:
        statement = select(*_columns(StoredRecord)).where(*which)
        ordered = statement.order_by(table.c.number.desc() if newest else table.c.number)
        with connected(self._engine) as connection:
            rows = connection.execute(ordered.limit(newest) if newest else ordered).all()
        return tuple(
            StoredRecord(
                **_read(row),
                document=row.document,
                signed=bytes(row.signed),
                unsigned_because=clean(row.unsigned_because, 500),
            )
            for row in rows
        )


def _columns(record: type[_Record]) -> list[ColumnElement[Any]]:
    named = [table.c[f.name] for f in fields(record) if f.name != "taken_at"]
    return [*named, table.c.key_arn, table.c.algorithm, microseconds(table.c.taken_at).label("taken_at")]


def _read(row: Any) -> dict[str, Any]:
    value = bytes(row.signature)
    return {
        "number": row.number,
        "taken_at": moment_of(row.taken_at),
        "digest": bytes(row.digest),
        "previous": bytes(row.previous),
        "signature": Signature(clean(row.key_arn, 300), clean(row.algorithm, 60), value) if value else None,
        "entry": row.entry,
        "removal": row.removal,
    }

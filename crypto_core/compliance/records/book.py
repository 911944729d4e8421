"""The book of records: those of some days, and whether the chain that they stand in is whole.

Found is every change of a document or a row, a record that is gone or stands elsewhere, and one that was
written at another time than it says: by the records before and after, and by the journal's entry that names
each record. Whoever owns the database can change the journal, too: that shows at its checkpoints
(`keydeck journal verify`). Whoever has the signing key as well shows at what is anchored outside alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from crypto_core.compliance.proof.records import (
    RecordLink,
    framed_record,
    made_twice,
    wrong_end,
    wrong_link,
    wrong_signatures,
)
from crypto_core.compliance.records.record import EvidenceRecord, read_record
from crypto_core.compliance.records.record_table import EvidenceRecordTable, RecordOutline, StoredRecord
from crypto_core.guard.signature import Signer, asking
from crypto_core.proof.forms import UNREADABLE
from crypto_core.proof.journal import NamedRecords
from crypto_core.values.clean_text import CleanText, clean, cleans


@dataclass(frozen=True, slots=True)
@cleans(600)
class RecordsCheck:
    """What is wrong with records, a sentence each, and why signatures were not checked, "" if they were."""

    problems: tuple[CleanText, ...]
    unchecked: CleanText


@dataclass(eq=False)
class RecordBook:
    """Reads records and follows their chain. Blocks on SQL, and on KMS for signatures."""

    table: EvidenceRecordTable
    signer: Signer | None
    """None where no signing key is configured."""
    database_id: Callable[[], str]
    """Asks for the journal's."""

    def records(self, since: date, until: date) -> tuple[EvidenceRecord, ...]:
        """Return the records from one day to another (UTC), both of them included, by number.

        What can't be read as a record, or was taken away, is not among them: see `check`. Raises
        DatabaseError.
        """
        rows = self.table.between(_midnight(since), _midnight(until) + timedelta(days=1))
        return tuple(record for row in rows if (record := _record(row)))

    def before(self, number: int) -> EvidenceRecord | None:
        """Return the last record before a number, None without one. Raises DatabaseError."""
        row = self.table.before(number)
        return _record(row) if row else None

    def last(self) -> EvidenceRecord | None:
        """Return the newest record, None without one. Raises DatabaseError."""
        return self.before(self.table.end().number + 1)

    def removed_days(self, since: date, until: date) -> tuple[date, ...]:
        """Return the days of which there was a record whose document was taken away. Raises DatabaseError."""
        rows = self.table.between(_midnight(since), _midnight(until) + timedelta(days=1))
        return tuple(dict.fromkeys(row.taken_at.date() for row in rows if row.document is None))

    def check(self, records: Sequence[EvidenceRecord]) -> RecordsCheck:
        """Verify these records, and that the chain lacks none. Raises DatabaseError.

        Where KMS can't be asked, signatures are unchecked.
        """
        rows = {row.number: row for row in self.table.outlines()}
        named, problems = NamedRecords(), list[str]()
        for entry in self.table.entries():
            problems.append(named.take(entry))
        problems += _lacking(rows, named)
        digests = self.table.journal_digests([one.journal_seq for one in records])
        database_id = self.database_id()
        for record in records:
            problems += _wrong(record, rows.get(record.number))
            try:
                framed = framed_record(record.document, record.signature, record.unsigned_because)
            except UNREADABLE:
                problems.append(f"Record {record.number} is not written as Keydeck writes it.")
            else:
                problems += wrong_end(framed, named, digests, database_id)
        signed = [(_link(record), record.signed) for record in records]
        signatures, unchecked = wrong_signatures(signed, named, asking(self.signer))
        wrong = tuple(map(clean, filter(None, (*problems, *signatures))))
        return RecordsCheck(wrong, clean(unchecked, 600))


def _link(one: EvidenceRecord | RecordOutline) -> RecordLink:
    return RecordLink(one.number, one.digest, one.previous, one.taken_at, one.signature)


def _lacking(rows: Mapping[int, RecordOutline], named: NamedRecords) -> Iterator[str]:
    yield from made_twice(named)
    before = 0
    for number in sorted(rows.keys() | named.by_number.keys()):
        if number > before + 1:
            yield f"No record from {before + 1} to {number - 1} is there, and the journal names none."
        if number not in rows:
            entry = named.by_number[number][-1].entry
            yield f"Record {number} is gone: the journal's entry {entry} names it."
        before = max(number, 0)
    for row in rows.values():
        previous = rows.get(row.number - 1)
        made = next((one for one in named.by_number.get(row.number, ()) if one.entry == row.entry), None)
        yield from wrong_link(_link(row), previous.digest if previous else None, made)
        if row.whole is False:
            yield f"Record {row.number} was changed."
        if row.whole is None and not named.removed(row.number, row.removal or 0):
            yield f"The document of record {row.number} was taken away, and the journal does not tell."


def _wrong(record: EvidenceRecord, row: RecordOutline | None) -> Iterator[str]:
    what = f"Record {record.number}"
    if row is None:
        yield f"{what} is not in the database."
        return
    if row.whole and (record.digest, record.taken_at) != (row.digest, row.taken_at):
        yield f"{what} is not the one that is kept."
    if record.signature != row.signature:
        yield f"{what} has another signature than the one that is kept."


def _record(row: StoredRecord) -> EvidenceRecord | None:
    if row.document is None:
        return None
    try:
        return read_record(row.document, row.signature, row.unsigned_because)
    except ValueError:
        return None


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)

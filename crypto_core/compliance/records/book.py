"""The book of records: those of some days, and whether the chain that they stand in is whole.

Found is every change of a document or a row, a record that is gone or stands elsewhere, and one that was
written at another time than it says: by the records before and after, and by the journal's entry that names
each record. Whoever owns the database can change the journal, too: that shows at its checkpoints
(`keydeck journal verify`). Whoever has the signing key as well shows at what is anchored outside alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from crypto_core.compliance.records.record import FIRST, EvidenceRecord, read_record
from crypto_core.database.state.evidence_records import (
    PURGE,
    RECORD,
    EvidenceRecordTable,
    RecordOutline,
    StoredRecord,
)
from crypto_core.database.state.journal_chain import another_database
from crypto_core.database.state.journal_entry import JournalEntry, told_in
from crypto_core.errors import EndedKeyError, KmsError, SettingsError
from crypto_core.guard.signature import Signature, Signer, SigningTime
from crypto_core.text.cleaning import CleanText, clean, cleans

EARLIEST, LATEST = timedelta(hours=6), timedelta(minutes=10)
"""How long before it was written a record was taken at most, and how much later by a clock that is ahead."""
_AT_ONCE = 8
"""Signatures that KMS is asked about at a time."""


@dataclass(frozen=True, slots=True)
@cleans(600)
class RecordsCheck:
    """What is wrong with records, a sentence each, and why signatures could not be checked, "" if they were.

    `unsigned` and `removed` are the numbers of those without a signature, and of all whose documents were
    taken away, as the journal tells.
    """

    problems: tuple[CleanText, ...]
    unchecked: CleanText
    unsigned: tuple[int, ...] = ()
    removed: tuple[int, ...] = ()


class RecordBook:
    """Reads records and follows their chain. Blocks on SQL, and on KMS for signatures."""

    def __init__(
        self, table: EvidenceRecordTable, signer: Signer | None, database_id: Callable[[], str]
    ) -> None:
        """`signer` is None where no signing key is configured. `database_id` asks for the journal's."""
        self._table = table
        self._signer = signer
        self._database_id = database_id

    def records(self, since: date, until: date) -> tuple[EvidenceRecord, ...]:
        """Return the records from one day to another (UTC), both of them included, by number.

        What can't be read as a record, or was taken away, is not among them: see `check`. Raises
        DatabaseError.
        """
        rows = self._table.between(_midnight(since), _midnight(until) + timedelta(days=1))
        return tuple(record for row in rows if (record := _record(row)))

    def before(self, number: int) -> EvidenceRecord | None:
        """Return the last record before a number, None without one. Raises DatabaseError."""
        row = self._table.before(number)
        return _record(row) if row else None

    def last(self) -> EvidenceRecord | None:
        """Return the newest record, None without one. Raises DatabaseError."""
        return self.before(self._table.end().number + 1)

    def removed_days(self, since: date, until: date) -> tuple[date, ...]:
        """Return the days of which there was a record whose document was taken away. Raises DatabaseError."""
        rows = self._table.between(_midnight(since), _midnight(until) + timedelta(days=1))
        return tuple(dict.fromkeys(row.taken_at.date() for row in rows if row.document is None))

    def check(self, records: Sequence[EvidenceRecord]) -> RecordsCheck:
        """Verify these records, and that the chain lacks none. Raises DatabaseError.

        Where KMS can't be asked, signatures are unchecked.
        """
        chain = _Chain.read(self._table)
        problems = [*chain.lacking()]
        named = self._table.journal_digests([one.journal_seq for one in records])
        database_id = self._database_id()
        for record in records:
            problems += chain.wrong(record, named, database_id)
        signatures, unchecked = self._signatures(records, chain)
        return RecordsCheck(
            tuple(map(clean, (*problems, *signatures))),
            clean(unchecked, 600),
            tuple(one.number for one in records if one.signature is None),
            tuple(row.number for row in chain.rows.values() if row.whole is None),
        )

    def _signatures(self, records: Sequence[EvidenceRecord], chain: _Chain) -> tuple[list[str], str]:
        signed = [(one, one.signature) for one in records if one.signature]
        if not signed:
            return [], ""
        if self._signer is None:
            return [], "no signing key is configured"
        signer = self._signer

        def wrong(one: tuple[EvidenceRecord, Signature]) -> str:
            return _wrong_signature(signer, one[0], one[1], chain.time_of(one[0].number))

        try:
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                return [problem for problem in pool.map(wrong, signed) if problem], ""
        except (KmsError, SettingsError) as error:
            return [], error.message


@dataclass(frozen=True)
class _Chain:
    """The rows of all records, without their documents, and what the journal names."""

    rows: dict[int, RecordOutline]
    entries: dict[int, list[tuple[JournalEntry, dict[str, Any]]]] = field(default_factory=dict)
    removals: list[tuple[int, range]] = field(default_factory=list)

    @classmethod
    def read(cls, table: EvidenceRecordTable) -> _Chain:
        chain = cls({row.number: row for row in table.outlines()})
        for entry in table.entries():
            told = told_in(entry.detail)
            if entry.action == RECORD and isinstance(told.get("number"), int):
                chain.entries.setdefault(told["number"], []).append((entry, told))
            elif entry.action == PURGE and isinstance(told.get("first"), int):
                last = told.get("last")
                numbers = range(told["first"], (last if isinstance(last, int) else 0) + 1)
                chain.removals.append((entry.seq, numbers))
        return chain

    def time_of(self, number: int) -> SigningTime | None:
        """When a record was written, by the journal."""
        entry = self._entry(number)
        return entry[0].evidence if entry else None

    def lacking(self) -> Iterator[str]:
        """What is wrong with the chain as a whole, a sentence each."""
        before = 0
        for number in sorted(self.rows.keys() | self.entries.keys()):
            made = self.entries.get(number, [])
            if number > before + 1:
                yield f"No record from {before + 1} to {number - 1} is there, and the journal names none."
            if number not in self.rows:
                yield f"Record {number} is gone: the journal's entry {made[-1][0].seq} names it."
            elif len(made) > 1:
                seqs = ", ".join(str(entry.seq) for entry, _ in made)
                yield f"Record {number} was made more than once, by the journal's entries {seqs}."
            before = max(number, 0)
        for row in self.rows.values():
            yield from self._wrong_row(row)

    def wrong(self, record: EvidenceRecord, named: dict[int, bytes], database_id: str) -> Iterator[str]:
        """What is wrong with one record, a sentence each."""
        what, number = f"Record {record.number}", record.number
        row = self.rows.get(number)
        if row is None:
            yield f"{what} is not in the database."
            return
        if row.whole and (record.digest, record.taken_at) != (row.digest, row.taken_at):
            yield f"{what} is not the one that is kept."
        if record.signature != row.signature:
            yield f"{what} has another signature than the one that is kept."
        if record.journal_seq and named.get(record.journal_seq) != record.journal_digest:
            seq = record.journal_seq
            yield f"{what} was made behind entry {seq} of the journal, which is not that entry any more."
        if other := another_database(what, database_id, record.database_id):
            yield other

    def _wrong_row(self, row: RecordOutline) -> Iterator[str]:
        what = f"Record {row.number}"
        before = self.rows.get(row.number - 1)
        if row.previous != (before.digest if before else FIRST) and (before or row.number == 1):
            yield f"{what} does not follow the record before it."
        if row.whole is False:
            yield f"{what} was changed."
        if row.whole is None and not any(
            seq == row.removal and row.number in numbers for seq, numbers in self.removals
        ):
            yield f"The document of record {row.number} was taken away, and the journal does not tell."
        found = self._entry(row.number)
        if found is None:
            yield f"The journal does not name record {row.number}."
            return
        entry, told = found
        if (told.get("sha256"), told.get("previous")) != (row.digest.hex(), row.previous.hex()):
            yield f"{what} is not the one that the journal's entry {entry.seq} names."
        if told.get("signature") != (row.signature.as_json() if row.signature else None):
            yield f"{what} has another signature than the journal's entry {entry.seq} names."
        if not entry.at - EARLIEST <= row.taken_at <= entry.at + LATEST:
            yield (
                f"{what} says {row.taken_at:%Y-%m-%d %H:%M} UTC, and was written {entry.at:%Y-%m-%d %H:%M} "
                f"UTC, by the journal's entry {entry.seq}."
            )

    def _entry(self, number: int) -> tuple[JournalEntry, dict[str, Any]] | None:
        """The journal's entry that the row names; of several the last."""
        made = self.entries.get(number, ())
        row = self.rows.get(number)
        return next((one for one in made if row and one[0].seq == row.entry), None)


def _wrong_signature(
    signer: Signer, record: EvidenceRecord, signature: Signature, when: SigningTime | None
) -> str:
    """Why a signature doesn't hold, "" if it does. Raises KmsError, SettingsError."""
    try:
        valid = signer.verify(record.signed, signature, when)
    except EndedKeyError as error:
        return f"Record {record.number}: {error.message}"
    return "" if valid else f"The signature of record {record.number} is not valid."


def _record(row: StoredRecord) -> EvidenceRecord | None:
    if row.document is None:
        return None
    try:
        return read_record(row.document, row.signature, row.unsigned_because)
    except ValueError:
        return None


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)

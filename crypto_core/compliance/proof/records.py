"""Records of evidence: a chain of their own, each named by an entry of the journal and naming its end."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta, timezone
from typing import NamedTuple

from crypto_core.proof.forms import (
    CLOCKS,
    FIRST,
    LATE,
    RECORD,
    UNREADABLE,
    Ask,
    Signature,
    another_database,
    canonical,
    digest_in,
    digest_of,
    document_of,
    moment_in,
    number_in,
    signature_in,
    text_in,
)
from crypto_core.proof.journal import NamedRecord, NamedRecords

FORM = 1


class RecordLink(NamedTuple):
    number: int
    digest: bytes
    """SHA-256 of its document."""
    previous: bytes
    """The digest of the record before, `FIRST` for the first."""
    taken_at: datetime
    signature: Signature | None


class PackedRecord(NamedTuple):
    link: RecordLink
    document: str
    unsigned_because: str
    database_id: str
    journal_seq: int
    """The journal's last entry when the record was made, and that entry's digest."""
    journal_digest: bytes

    @property
    def number(self) -> int:
        """Its number, from 1 without a gap."""
        return self.link.number

    @property
    def day(self) -> date:
        return self.link.taken_at.astimezone(timezone.utc).date()


def record_line(document: str, signature: Signature | None, unsigned_because: str) -> str:
    """Return a record's line in a pack, with its end."""
    told = signature.as_json() if signature else None
    return canonical({"document": document, "signature": told, "unsigned_because": unsigned_because}) + "\n"


def packed_record(line: bytes) -> PackedRecord:
    """Return the record of a line. Raises what is in UNREADABLE."""
    outer = document_of(line)
    document, because = text_in(outer["document"]), text_in(outer["unsigned_because"])
    signature = None if outer["signature"] is None else signature_in(outer["signature"])
    if record_line(document, signature, because).encode() != line.rstrip(b"\n") + b"\n":
        raise ValueError("it is not written as Keydeck writes it")
    return framed_record(document, signature, because)


def framed_record(document: str, signature: Signature | None, because: str) -> PackedRecord:
    """Return the record of a document. Raises what is in UNREADABLE."""
    told = document_of(document)
    if canonical(told) != document or told["keydeck_evidence_record"] != FORM:
        raise ValueError("it is not written as Keydeck writes it")
    taken = moment_in(told["taken_at"])
    if moment_in(told["snapshot"].get("taken_at", told["taken_at"])) != taken:
        raise ValueError("it says two times")
    return PackedRecord(
        RecordLink(
            number_in(told["number"]),
            hashlib.sha256(document.encode()).digest(),
            digest_in(told["previous"]),
            taken,
            signature,
        ),
        *(document, because, text_in(told["database_id"])),
        *(number_in(told["journal"]["seq"]), digest_in(told["journal"]["digest"])),
    )


def packed_records(name: str, content: bytes) -> Iterator[PackedRecord | str]:
    """Yield the records of a file, and a sentence for each line that is none."""
    for number, line in enumerate(content.splitlines(), 1):
        try:
            yield packed_record(line)
        except UNREADABLE:
            yield f"{name}, line {number}, is no record: Keydeck did not write it."


def signed_digest(document: str) -> bytes:
    return digest_of(RECORD, document)


def wrong_link(one: RecordLink, before: bytes | None, made: NamedRecord | None) -> Iterator[str]:
    """Yield what is wrong with a record's place, a sentence each.

    `before` is the digest of the record before it, None where that is not there; `made` is the entry of the
    journal that names it.
    """
    what = f"Record {one.number}"
    if one.previous != (FIRST if one.number == 1 else before or one.previous):
        yield f"{what} does not follow the record before it."
    if made is None:
        yield f"The journal does not name record {one.number}."
        return
    if made.sha256 != one.digest.hex() or made.previous != one.previous.hex():
        yield f"{what} is not the one that the journal's entry {made.entry} names."
    if made.signature != (one.signature.as_json() if one.signature else None):
        yield f"{what} has another signature than the journal's entry {made.entry} names."
    at = made.when.at
    if not at - LATE <= one.taken_at <= at + CLOCKS:
        yield (
            f"{what} says {one.taken_at:%Y-%m-%d %H:%M} UTC, and was written {at:%Y-%m-%d %H:%M} UTC, by the "
            f"journal's entry {made.entry}."
        )


def wrong_signatures(
    signed: Sequence[tuple[RecordLink, bytes]], named: NamedRecords, ask: Ask
) -> tuple[list[str], str]:
    """Return what is wrong with the signatures of records, and why some could not be checked.

    Each record comes with the 32 bytes that its signature is over.
    """
    found: list[str] = []
    unchecked = ""
    claims = []
    for one, over in signed:
        made = named.first(one.number)
        if one.signature is not None:
            claims.append((one.number, (over, one.signature, made.when if made else None)))
    for (number, _), answer in zip(claims, ask([claim for _, claim in claims])):
        if answer.valid is None:
            unchecked = unchecked or answer.why
        elif not answer.valid:
            found.append(
                f"Record {number}: {answer.why}"
                if answer.why
                else f"The signature of record {number} is not valid."
            )
    return found, unchecked


def made_twice(named: NamedRecords) -> Iterator[str]:
    """Yield a sentence for each record that more than one entry names."""
    for number, made in sorted(named.by_number.items()):
        if len(made) > 1:
            seqs = ", ".join(str(one.entry) for one in made)
            yield f"Record {number} was made more than once, by the journal's entries {seqs}."


def wrong_records(
    records: Sequence[PackedRecord], named: NamedRecords, digests: Mapping[int, bytes], database_id: str
) -> Iterator[str]:
    """Yield what is wrong with the records of a pack, a sentence each.

    `digests` are those of the journal's entries by number, as far as records name them.
    """
    yield from made_twice(named)
    before: PackedRecord | None = None
    for one in records:
        what = f"Record {one.number}"
        follows = before is not None and one.number == before.number + 1
        yield from wrong_link(
            one.link, before.link.digest if before and follows else None, named.first(one.number)
        )
        if before is not None and one.number <= before.number:
            yield f"{what} does not come after record {before.number}."
        elif before is not None and not follows:
            last = one.number - 1
            if last - before.number > len(named.by_number) or not all(
                map(named.removed, range(before.number + 1, last + 1))
            ):
                yield f"Records {before.number + 1} to {last} are missing."
        yield from wrong_end(one, named, digests, database_id)
        before = one


def wrong_end(
    one: PackedRecord, named: NamedRecords, digests: Mapping[int, bytes], database_id: str
) -> Iterator[str]:
    """Yield what is wrong with the end of the journal that a record names, and with its database."""
    what = f"Record {one.number}"
    if one.journal_seq and digests.get(one.journal_seq) != one.journal_digest:
        yield f"{what} was made behind entry {one.journal_seq} of the journal, which is another here."
    made = named.first(one.number)
    if made and one.journal_seq >= made.entry:
        yield f"{what} names an end of the journal that came after its own entry."
    yield another_database(what, database_id, one.database_id)


def left_out(records: Iterable[PackedRecord], named: NamedRecords, since: date, until: date) -> Iterator[str]:
    """Yield records of a period that the journal names and a pack has not, a sentence each.

    The record before the period belongs to a pack, too: the first one names it.
    """
    there = {one.number for one in records}
    first = min(there, default=0)
    begin = datetime(since.year, since.month, since.day, tzinfo=timezone.utc) + LATE
    end = datetime(until.year, until.month, until.day, tzinfo=timezone.utc) + timedelta(days=1) - CLOCKS
    begins = any(one.number == first and one.day >= since for one in records)
    if first > 1 and begins and not named.removed(first - 1):
        yield f"Record {first - 1} is left out, which record {first} follows."
    for number, made in sorted(named.by_number.items()):
        if number not in there and begin <= made[0].when.at <= end and not named.removed(number):
            yield (
                f"Record {number} is left out, which the journal's entry {made[0].entry} names on "
                f"{made[0].when.at:%Y-%m-%d}."
            )

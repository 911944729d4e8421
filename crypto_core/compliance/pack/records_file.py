"""Records as a pack holds them, each a line with its signature; whether they are a chain in the journal."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from crypto_core.compliance.pack.manifest import signature_of
from crypto_core.compliance.records.record import FIRST, EvidenceRecord, canonical, read_record
from crypto_core.errors import EndedKeyError
from crypto_core.guard.signature import Signer, SigningTime
from crypto_core.text.cleaning import clean


def record_lines(records: Iterable[EvidenceRecord]) -> Iterator[str]:
    """Yield the lines of records, each with its end."""
    for one in records:
        told = {
            "document": one.document,
            "signature": one.signature.as_json() if one.signature else None,
            "unsigned_because": str(one.unsigned_because),
        }
        yield canonical(told) + "\n"


def read_records(content: bytes) -> tuple[EvidenceRecord, ...]:
    """Return the records of a file. Raises ValueError naming the line that holds none."""
    return tuple(_record(line, number) for number, line in enumerate(content.splitlines(), 1))


def _record(line: bytes, number: int) -> EvidenceRecord:
    try:
        told = json.loads(line)
        signature = told["signature"]
        found = read_record(told["document"], signature and signature_of(signature), told["unsigned_because"])
        same = "".join(record_lines([found])).encode() == line + b"\n"
        if not same or canonical(json.loads(found.document)) != found.document:
            raise ValueError("it is not written as Keydeck writes it")  # noqa: TRY301
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"records.jsonl, line {number:,}, is no record: {clean(error, 200)}") from error
    return found


class NamedRecords:
    """The records that a journal names, gathered entry by entry: their digests and when that was."""

    def __init__(self) -> None:
        self.digests: dict[int, str] = {}
        self.times: dict[int, SigningTime] = {}
        self.removed: set[int] = set()
        """Those whose documents were taken away, as the journal tells."""

    def take(self, detail: Mapping[str, Any], when: SigningTime) -> None:
        """Take what an entry tells of a record that was made."""
        number, digest = detail.get("number"), detail.get("sha256")
        if isinstance(number, int) and isinstance(digest, str):
            self.digests[number] = digest
            self.times[number] = when

    def remove(self, detail: Mapping[str, Any]) -> None:
        """Take what an entry tells of documents that were taken away."""
        first, last = detail.get("first"), detail.get("last")
        if isinstance(first, int) and isinstance(last, int) and last - first < 1_000_000:
            self.removed.update(range(first, last + 1))


def wrong_records(
    records: Sequence[EvidenceRecord], named: NamedRecords, entries: Mapping[int, bytes]
) -> Iterator[str]:
    """Yield what is wrong with the records of a pack, a sentence each.

    `entries` are the digests of the journal's entries by number, as far as records name them.
    """
    before: EvidenceRecord | None = None
    for one in records:
        what = f"Record {one.number:,}"
        if before is not None:
            missing = range(before.number + 1, one.number)
            if one.number <= before.number:
                yield f"{what} does not come after record {before.number:,}."
            elif not named.removed.issuperset(missing):
                yield f"Records {before.number + 1:,} to {one.number - 1:,} are missing."
            elif not missing and one.previous != before.digest:
                yield f"{what} does not follow the record before it."
        elif one.number == 1 and one.previous != FIRST:
            yield f"{what} does not begin the chain."
        digest = named.digests.get(one.number)
        if digest is None:
            yield f"{what} is named by no entry of the journal."
        elif digest != one.digest.hex():
            yield f"{what} is not the one that the journal names."
        if one.journal_seq and entries.get(one.journal_seq) != one.journal_digest:
            yield f"{what} was made behind entry {one.journal_seq:,} of the journal, which is another here."
        before = one


def unsigned_numbers(records: Iterable[EvidenceRecord]) -> tuple[str, ...]:
    """Return the numbers of records that have no signature of their own."""
    return tuple(f"{one.number:,}" for one in records if one.signature is None)


def wrong_signatures(records: Sequence[EvidenceRecord], signer: Signer, named: NamedRecords) -> Iterator[str]:
    """Yield what is wrong with the records' signatures.

    Raises KmsError, SettingsError where they can't be checked.
    """
    for one in records:
        if one.signature is None:
            continue
        try:
            valid = signer.verify(one.signed, one.signature, named.times.get(one.number))
        except EndedKeyError as error:
            yield f"Record {one.number:,} is signed by a key that does not count. {error.message}"
            continue
        if not valid:
            yield f"Record {one.number:,} is not signed by the key over what it holds."

"""The census before and after: the first and the last that evidence holds, and what changed between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Self

from crypto_core.envelope.formats import Format
from crypto_core.incidents.report.exhibits import CensusCounts, Exhibit
from crypto_core.incidents.report.section import ReportSection, Signed, Sources
from crypto_core.lists.tone import Tone
from crypto_core.reports.cells import Cell, ReportTable, ShownSection, TextLook, table
from crypto_core.values.key_names import same_key
from crypto_core.values.moments import moment_utc


@dataclass(frozen=True, slots=True)
class Difference:
    """A count before and after; None if that census lacks it."""

    name: str
    before: int
    after: int | None
    note: str = ""


@dataclass(frozen=True, slots=True)
class CensusPart:
    """The first and the last census among the evidence. One alone has nothing after it."""

    before_at: datetime
    before_evidence: int
    after_at: datetime | None
    after_evidence: int | None
    by_format: tuple[Difference, ...]
    by_key: tuple[Difference, ...]
    unprotected: tuple[int, int | None]
    """Tokens in no envelope that only KMS opens, before and after."""
    before_proof: str = ""
    after_proof: str = ""
    """What the counts rest on, in words."""
    proved: bool = False
    """True if the last census rests on a fresh proof that left nothing out."""
    opening: str = ""
    """What came, the last time, of opening the tokens that were moved to other keys; "" if none were."""


@dataclass(frozen=True, slots=True)
class CensusSection(ReportSection):
    """Tokens by format and key, before and after; None without an intact census in the evidence."""

    PLACE: ClassVar = 60
    census: CensusPart | None

    @classmethod
    def read(cls, sources: Sources) -> Self:
        counted = _ends(sources.exhibits)
        if counted is None:
            return cls(None)
        first, last = counted
        part = CensusPart(
            before_at=first.at,
            before_evidence=first.evidence,
            after_at=last.at if last else None,
            after_evidence=last.evidence if last else None,
            by_format=_by_format(first, last),
            by_key=_by_key(first, last),
            unprotected=(first.unprotected, last.unprotected if last else None),
            before_proof=first.proof,
            after_proof=last.proof if last else "",
            proved=last.proved if last else first.proved,
            opening=_last_opening(sources.exhibits),
        )
        return cls(part)

    def show(self, signed: Signed) -> ShownSection:
        census = self.census
        if census is None:
            return ShownSection(
                "census", "Census", lead="No census is among the evidence, so nothing is compared."
            )
        lead = f"Before: {moment_utc(census.before_at)}, evidence {census.before_evidence}. "
        lead += f"{census.before_proof} " if census.before_proof else ""
        lead += (
            f"After: {moment_utc(census.after_at)}, evidence {census.after_evidence}. "
            f"{census.after_proof or 'It rests on remembered answers: no zero of it is proved.'}"
            if census.after_at
            else "There is no second census, so the state afterwards is not known."
        )
        lead += f" {census.opening}" if census.opening else ""
        return ShownSection(
            "census",
            "Census before and after",
            lead=lead,
            tables=(
                _differences("Tokens by KMS key", "KMS key", census.by_key, keys=True),
                _differences("Tokens by format", "Format", census.by_format, keys=False),
            ),
        )


def _differences(caption: str, first: str, rows: tuple[Difference, ...], *, keys: bool) -> ReportTable:
    def name(row: Difference) -> Cell:
        tone = Tone.WARNING if row.note == "not protected" and row.after else Tone.PLAIN
        return Cell(row.name, tone, TextLook.CODE if keys else TextLook.TEXT, (row.note,))

    def change(row: Difference) -> Cell:
        if row.after is None:
            return Cell("–", look=TextLook.NUMBER)
        return Cell(f"{row.after - row.before:+,}" if row.after != row.before else "0", look=TextLook.NUMBER)

    after = [row.after for row in rows if row.after is not None]
    total = Difference("In all", sum(row.before for row in rows), sum(after) if after else None)
    return table(
        caption,
        f"{first}|Before|After|Change",
        (
            *((name(row), row.before, row.after, change(row)) for row in rows),
            (total.name, total.before, total.after, change(total)),
        ),
    )


def under_key(exhibits: Sequence[Exhibit], key_arn: str) -> tuple[int | None, int | None]:
    """Return how many tokens were under a key and its replicas, before and after; None where not counted."""
    counted = _ends(exhibits)
    if counted is None:
        return None, None
    first, last = counted
    return _under(first, key_arn), _under(last, key_arn) if last else None


def _last_opening(exhibits: Sequence[Exhibit]) -> str:
    made = [exhibit for exhibit in exhibits if exhibit.opening]
    if not made:
        return ""
    last = max(made, key=lambda exhibit: exhibit.evidence.id)
    at = moment_utc(last.evidence.captured_at)
    return f"Before the key was taken away, {at}, evidence {last.evidence.id}: {last.opening}"


def _ends(exhibits: Sequence[Exhibit]) -> tuple[CensusCounts, CensusCounts | None] | None:
    taken = sorted(
        (exhibit.census for exhibit in exhibits if exhibit.census is not None),
        key=lambda census: (census.at, census.evidence),
    )
    # What is in a restored database is no "after" of what is in the platform's.
    own = [census for census in taken if not census.database]
    same = own or [census for census in taken if census.database == taken[0].database]
    if not same:
        return None
    return same[0], same[-1] if len(same) > 1 else None


def _under(census: CensusCounts, key_arn: str) -> int:
    return sum(key.tokens for name, key in census.keys.items() if same_key(name, key_arn))


def _by_format(first: CensusCounts, last: CensusCounts | None) -> tuple[Difference, ...]:
    return tuple(
        Difference(
            f.value,
            first.by_format.get(f.value, 0),
            last.by_format.get(f.value, 0) if last else None,
            _says(f),
        )
        for f in Format
        if f.value in first.by_format or (last is not None and f.value in last.by_format)
    )


def _says(format_: Format) -> str:
    return "protected" if format_.protected else "" if format_ is Format.EMPTY else "not protected"


def _by_key(first: CensusCounts, last: CensusCounts | None) -> tuple[Difference, ...]:
    names = dict.fromkeys((*first.keys, *(last.keys if last else ())))
    rows = []
    for name in names:
        known = (last.keys.get(name) if last else None) or first.keys[name]
        note = ", ".join(word for word in (known.alias, known.state) if word)
        rows.append(Difference(name, first.under(name), last.under(name) if last else None, note))
    return tuple(sorted(rows, key=lambda row: (-row.before, row.name)))

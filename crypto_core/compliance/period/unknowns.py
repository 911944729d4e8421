"""What a period can't tell, and why, a sentence each. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date

from crypto_core.compliance.control import ControlCatalogue
from crypto_core.compliance.records.record import EvidenceRecord
from crypto_core.compliance.snapshot import Lack, MissingPart, SnapshotPart
from crypto_core.text.cleaning import CleanText, clean
from crypto_core.text.counting import counted

MOST = 40
"""Sentences at most; how many more there are is the last one."""


def unknowns_of(
    records: Sequence[EvidenceRecord],
    before: EvidenceRecord | None,
    days: Sequence[date],
    removed: Iterable[date],
    gaps: Iterable[str],
    granting: Iterable[ControlCatalogue],
) -> tuple[CleanText, ...]:
    """Return what is not known: before the first record, on days without one, and of missing parts.

    `removed` are days whose record was taken away, `gaps` what else could not be looked at, `granting` the
    catalogues of whose exceptions some held.
    """
    told = [*_told(records, before, days, set(removed)), *_granted_later(records, granting), *gaps]
    more = len(told) - MOST
    ends = [f"and {more:,} more"] if more > 0 else []
    return tuple(clean(one, 600) for one in (*told[:MOST], *ends))


def _told(
    records: Sequence[EvidenceRecord],
    before: EvidenceRecord | None,
    days: Sequence[date],
    removed: set[date],
) -> Iterator[str]:
    if not records:
        yield "There is no record of these days: nothing is known of them but what stores hold now."
        return
    if before is None:
        first = records[0].taken_at
        yield f"No record is older than {first:%Y-%m-%d %H:%M} UTC: what was wrong may have begun earlier."
    recorded = {one.day for one in records}
    taken_away = [day for day in days if day in removed and day not in recorded]
    never = [day for day in days if day not in removed and day not in recorded]
    if never:
        yield f"{counted(len(never), 'day')} without a record: {_listed(never)}."
    if taken_away:
        yield (
            f"{counted(len(taken_away), 'day')} whose record was taken away, by its time to be kept: "
            f"{_listed(taken_away)}."
        )
    yield from _missing_parts(records)


def _granted_later(records: Sequence[EvidenceRecord], granting: Iterable[ControlCatalogue]) -> Iterator[str]:
    """Catalogues that were others then: an exception may have been granted once it was needed."""
    for catalogue in granting:
        others = [one.day for one in records if one.catalogues.get(catalogue.id) != catalogue.digest]
        if others:
            yield (
                f"Exceptions of catalogue {catalogue.id}: on {counted(len(set(others)), 'day')} "
                f"({_listed(others)}) it was another text, or none. Whether they had been granted by then is "
                "not shown."
            )


def _missing_parts(records: Sequence[EvidenceRecord]) -> Iterator[str]:
    """The parts that some records lack, by why, with the first reason of each."""
    for part in SnapshotPart:
        lacks: dict[Lack, tuple[str, list[date]]] = {}
        for record in records:
            found = record.snapshot.part(part)
            if isinstance(found, MissingPart):
                lacks.setdefault(found.lack, (found.reason, []))[1].append(record.day)
        for lack, (reason, missing) in lacks.items():
            days = counted(len(set(missing)), "day")
            yield f"{part} was not measured on {days} ({_listed(missing)}): {lack}: {reason}"


def _listed(days: Sequence[date]) -> str:
    """Days, those in a row by the first and the last one."""
    rows: list[tuple[date, date]] = []
    for day in sorted(set(days)):
        if rows and (day - rows[-1][1]).days == 1:
            rows[-1] = (rows[-1][0], day)
        else:
            rows.append((day, day))
    told = [f"{first}" if first == last else f"{first} to {last}" for first, last in rows[:5]]
    more = [f"and {len(rows) - 5} more"] if len(rows) > 5 else []
    return ", ".join([*told, *more])

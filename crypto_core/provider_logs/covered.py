"""Of which times all events of a provider's place are there, and by what that is known."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from crypto_core.provider_logs.event import milliseconds_of, moment_of
from crypto_core.provider_logs.schema import bring_up_to_date, cover, is_there
from crypto_core.text.moments import in_utc
from crypto_core.trail.store.database import StoreFile

PULLED, STATED = "pulled", "stated by the operator"
"""By what it is known: the provider's API gave every page, or whoever exported the files says so."""


@dataclass(frozen=True, slots=True)
class CoveredPeriod:
    """A period of which all events of a place are there."""

    provider: str
    place: str
    since: datetime
    until: datetime
    origin: str


class CoverBook:
    """Keeps such periods beside the events. Thread-safe; blocks; raises EventStoreError."""

    def __init__(self, file: StoreFile) -> None:
        self._file = file

    def note(self, provider: str, place: str, since: datetime, until: datetime, origin: str) -> None:
        values = {"since": milliseconds_of(since), "until": milliseconds_of(until), "origin": origin}
        with self._file.writing() as connection:
            bring_up_to_date(connection)
            connection.execute(cover.insert().values(provider=provider, place=place, **values))

    def periods(self, provider: str = "") -> tuple[CoveredPeriod, ...]:
        asked = select(cover.c.provider, cover.c.place, cover.c.since, cover.c.until, cover.c.origin)
        if provider:
            asked = asked.where(cover.c.provider == provider)
        with self._file.reading() as connection:
            rows = (
                connection.execute(asked.order_by(*asked.selected_columns)).all()
                if is_there(connection)
                else ()
            )
        return tuple(CoveredPeriod(p, place, moment_of(a), moment_of(b), o) for p, place, a, b, o in rows)


def missing(
    periods: Iterable[CoveredPeriod], since: datetime, until: datetime
) -> tuple[tuple[datetime, datetime], ...]:
    """Return what of a time none of the periods covers, in order."""
    holes = []
    reached = since
    for one in sorted(periods, key=lambda period: period.since):
        if one.since > reached and reached < until:
            holes.append((reached, min(one.since, until)))
        reached = max(reached, one.until)
    if reached < until:
        holes.append((reached, until))
    return tuple(holes)


def uncovered(
    periods: Iterable[CoveredPeriod], provider: str, named: Iterable[str], since: datetime, until: datetime
) -> tuple[str, ...]:
    """Return what of a time a provider's events don't cover, in sentences.

    A place that is named has to be covered by itself, or by a pull of the whole organisation. Where none is
    named, one of the provider's places has to be.
    """
    ours = [one for one in periods if one.provider == provider]
    wholes = {one.place for one in ours if one.origin == PULLED}
    sentences = []
    wanted = tuple(dict.fromkeys(named))
    for place in wanted or tuple(dict.fromkeys(one.place for one in ours)) or ("",):
        among = {place.lower(), *(whole.lower() for whole in wholes if wanted)}
        holes = missing((one for one in ours if one.place.lower() in among), since, until)
        if (
            holes
            and not wanted
            and any(
                not missing((one for one in ours if one.place == other.place), since, until) for other in ours
            )
        ):
            continue
        name = f"{provider} {place}".rstrip()
        sentences += [
            f"{name}: events from {in_utc(begin)} to {in_utc(end)} are missing." for begin, end in holes
        ]
    return tuple(sentences)

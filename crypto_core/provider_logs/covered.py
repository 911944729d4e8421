"""Of which times all events of a provider's place are there, and by what that is known."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from crypto_core.provider_logs.event import milliseconds_of, moment_of
from crypto_core.provider_logs.schema import bring_up_to_date, cover, is_there
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
        """Note a period."""
        values = {"since": milliseconds_of(since), "until": milliseconds_of(until), "origin": origin}
        with self._file.writing() as connection:
            bring_up_to_date(connection)
            connection.execute(cover.insert().values(provider=provider, place=place, **values))

    def periods(self, provider: str = "") -> tuple[CoveredPeriod, ...]:
        """Return the periods, in order."""
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

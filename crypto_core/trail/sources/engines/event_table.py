"""A table of Athena's as a source of events: its rows, by its partitions, and its columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from crypto_core.errors import InvalidFilterError
from crypto_core.lists.filter_language import Clause, Term
from crypto_core.trail.event_sql.conditions import BoundValues
from crypto_core.trail.sources.engines.athena import NO_DAYS, OCSF, Athena, delivery_days
from crypto_core.trail.sources.engines.event_columns import Has
from crypto_core.trail.sources.engines.security_lake import is_ocsf, provided
from crypto_core.trail.sources.engines.table_definition import TableDefinition, demanded
from crypto_core.trail.sources.lake_sql import LONGEST, can_be_literal, iso
from crypto_core.trail.sources.pull_query import KEPT_SOURCES

_YEARS = range(1_000, 9_000)
"""Those that are compared as texts."""


@dataclass(frozen=True, slots=True)
class EventRows:
    """Rows of a table: what follows FROM. `by_day` is True where only the files of some days are read."""

    source: str
    has: Has
    by_day: bool
    remarks: tuple[str, ...]


def event_rows(
    engine: Athena,
    definition: TableDefinition,
    clauses: Sequence[Clause],
    bound: BoundValues,
    sources: Sequence[str] = KEPT_SOURCES,
) -> EventRows:
    """Return the rows of a filter's window, in the partitions that it demands. Raises SettingsError."""
    window = asked_window(clauses)
    has: Has
    more: tuple[str, ...]
    if is_ocsf(definition):
        has, by_day, more = _within(provided(definition)), False, (OCSF,)
        source = engine.security_lake(definition, window, demanded(clauses, "region"))
        rows = [*_rows(window, sources, bound)]
    else:
        has, source = definition.has, engine.table
        days = definition.by_day(*delivery_days(*window))
        limits = [*definition.by_place(clauses, ()), *([] if days is None else [days])]
        rows = [*(one.written(bound) for one in limits), *_rows(window, sources, bound)]
        by_day = days is not None
        more = (NO_DAYS,) if definition.known and any(window) and not by_day else ()
    return EventRows(f"{source} WHERE {' AND '.join(rows)}", has, by_day, more)


def _within(columns: frozenset[str]) -> Has:
    return lambda path: path.partition(".")[0] in columns


def _rows(
    window: tuple[datetime | None, datetime | None], sources: Sequence[str], bound: BoundValues
) -> Iterator[str]:
    since, until = window
    yield f"eventsource IN ({', '.join(map(bound.bind, sources))})"
    if since:
        yield f"eventtime >= {bound.bind(iso(since))}"
    if until:
        yield f"eventtime <= {bound.bind(iso(until))}"


def asked_window(clauses: Sequence[Clause]) -> tuple[datetime | None, datetime | None]:
    """Return the whole seconds between which a filter's events lie, as far as it demands an end of them."""
    firsts: list[datetime] = []
    lasts: list[datetime] = []
    for term in clauses:
        if (
            isinstance(term, Term)
            and term.field == "time"
            and not term.negated
            and len(term.alternatives) == 1
        ):
            (value,) = term.alternatives
            firsts += [value.at_least] if isinstance(value.at_least, datetime) else []
            lasts += [value.at_most] if isinstance(value.at_most, datetime) else []
    since = max(firsts).replace(microsecond=0) if firsts else None
    until = min(lasts).replace(microsecond=0) if lasts else None
    return (
        since if since and since.year in _YEARS else None,
        until + timedelta(seconds=1) if until and until.year in _YEARS else None,
    )


def require_literals(values: Mapping[str, Any], clauses: Sequence[Clause]) -> None:
    """Raise InvalidFilterError for a value that Athena takes none of."""
    if not all(isinstance(value, str) and can_be_literal(value) for value in values.values()):
        raise InvalidFilterError(
            f"Athena takes no value of more than {LONGEST:,} characters, or with control characters.",
            position=clauses[0].position if clauses else 0,
            remedy="Ask for less at once, or fetch the events: keydeck events pull --from athena.",
        )

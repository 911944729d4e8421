"""What the events commands have in common: the store alone, the window, the noise, and how events look."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, Protocol

import click

from console.capabilities import event_engines, not_installed
from console.commands.mfa_prompt import code_from_terminal
from console.commands.moments import time_option
from console.commands.session import loaded, together
from console.extras import LAKE, require_extra
from console.printed.output import say
from crypto_core.lists.coverage import Coverage
from crypto_core.lists.filter_language import terms_of
from crypto_core.lists.paging import Query, pages_of
from crypto_core.trail.coverage_record import CoverageRecord
from crypto_core.trail.event import TrailEvent
from crypto_core.trail.query import Aliases, enclosed, parse
from crypto_core.trail.store import EventStore, StoredEvent
from crypto_core.trail.store.statistics import GroupsQuestion
from crypto_core.trail.store.tallies import Tallies
from crypto_core.trail.use.reach import Covered, reach
from crypto_core.values.clean_text import shortened
from crypto_core.values.errors import SettingsError
from crypto_core.values.key_names import short_key

if TYPE_CHECKING:
    from crypto_core.trail.parquet.event_copy import EventCopy

_PAGE = 500
_CELL = 200
"""Characters of an event's cell."""
HEADERS = ("time", "event", "principal", "from", "result", "key", "material", "token", "region", "event id")

filter_options = together(
    click.option(
        "--filter",
        "filter_",
        default="",
        metavar="EXPR",
        help="e.g. 'name:Decrypt (error:* OR hour:22..06) -principal:*platform': keydeck help filters.",
    ),
    time_option("--since", "From a date, or how long ago: 2h, 7d."),
    time_option("--until", "Up to a date, or how long ago."),
    click.option(
        "--service",
        "--all",
        "service",
        is_flag=True,
        help="Include calls that AWS services make by themselves; in lists, Keydeck's own, too.",
    ),
)


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """What is asked instead of the store: duckdb and a folder, or a capability's engine and a table."""

    name: str
    place: str
    most: int | None = None
    """Bytes that a query may scan, None for the default."""
    yes: bool = False


class _EngineType(click.Tuple):
    """duckdb and a folder that is there, or an engine and its table, of these names alone."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__([click.Choice(names), click.STRING])
        self._names = names

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if sentence := not_installed(value[0], "--engine"):
            raise click.UsageError(sentence, ctx)
        if value[0] in event_engines() and value[0] not in self._names:
            counts = f"{value[0].capitalize()} counts events, by stats and pivot"
            self.fail(f"{counts}; rows: events pull --from {value[0]}.", param, ctx)
        name, place = super().convert(value, param, ctx)
        if name == "duckdb":
            place = str(_FOLDER.convert(place, param, ctx))
        return EngineChoice(name, place)


_FOLDER = click.Path(exists=True, file_okay=False)


def _engine_option(*tables: str) -> Callable[[Any], Any]:
    return click.option(
        "--engine",
        type=_EngineType(("duckdb", *tables)),
        metavar=" | ".join(("duckdb DIR", *(f"{name} TABLE" for name in tables))),
        help="Ask a copy in Parquet (see events export), or database.table of Athena's, not the store."
        if tables
        else "Ask a copy in Parquet instead of the store: see events export.",
    )


engine_option = _engine_option()
counting_engine_options = together(
    _engine_option(*event_engines()),
    click.option(
        "--max-bytes",
        "most",
        type=click.IntRange(min=1),
        metavar="N",
        help="What a query may scan [100,000,000,000].",
    ),
    click.option("--yes", is_flag=True, help="Do not ask before a query that costs money."),
)


def counting_engine(engine: EngineChoice | None, most: int | None, *, yes: bool) -> EngineChoice | None:
    """Return the engine with what its queries may cost. Raises UsageError for one that costs nothing."""
    if engine is not None and engine.name != "duckdb":
        return replace(engine, most=most, yes=yes)
    if most is not None or yes:
        raise click.UsageError("--max-bytes and --yes are for a query that costs money.")
    return engine


def expression(
    filter_: str, since: datetime | None, until: datetime | None, *, service: bool = True, own: bool = True
) -> str:
    """Return the filter for all of it. Without `service` it hides services, unless it is about them; without
    `own` Keydeck's own calls in the same way.

    Raises InvalidFilterError pointing at the character of what was typed.
    """
    clauses = parse(filter_, datetime.now(UTC))
    parts = [enclosed(filter_)] if filter_.strip() else []
    parts += [f"since:{since.isoformat()}"] if since else []
    parts += [f"until:{until.isoformat()}"] if until else []
    if not service and not any(t.field == "service" for t in terms_of(clauses)):
        parts.append("-service")
    if not own and not any(t.field == "own" for t in terms_of(clauses)):
        parts.append("-own")
    return " ".join(parts)


@dataclass(slots=True)
class OpenStore:
    """The store of events, and what it lacks for want of AWS. `aliases_missing` is set once that shows."""

    events: EventStore
    covered: Covered
    aliases_missing: bool = False

    def pages(self, query: Query, limit: int) -> Iterator[Sequence[StoredEvent]]:
        return pages_of(self.events, query, size=_PAGE, limit=limit)

    def groups(self, asked: GroupsQuestion, wanted: str) -> tuple[Tallies, int]:
        # By the filter, so that an index can tell which these are.
        valued = "".join(f" {field}:*" for field in asked.fields if asked.valued)
        found = self.events.groups(asked, f"{wanted}{valued}")
        return found, self.events.summary(wanted).hidden_service_events

    def coverage(self, since: datetime | None, until: datetime | None, *more: str) -> Coverage:
        told = reach(self.events, self.covered, since, until)
        reasons = [*more, *told.reasons]
        if self.aliases_missing:
            reasons.append("The aliases of keys are not known: name keys by ARN or key id.")
        return Coverage(tuple(dict.fromkeys(reasons)))


@dataclass(slots=True)
class OpenCopy:
    events: EventCopy

    def pages(self, query: Query, limit: int) -> Iterator[Sequence[StoredEvent]]:
        return self.events.pages(query, limit=limit)

    def groups(self, asked: GroupsQuestion, wanted: str) -> tuple[Tallies, int]:
        return self.events.groups(asked, wanted)

    def coverage(self, _since: datetime | None, _until: datetime | None, *more: str) -> Coverage:
        return Coverage((*more, self.events.mark.told))


class EventCounter(Protocol):
    """What counts events: the store, a copy of it, or a table of an engine's."""

    def groups(self, asked: GroupsQuestion, wanted: str) -> tuple[Tallies, int]: ...

    def coverage(self, since: datetime | None, until: datetime | None, /, *more: str) -> Coverage: ...


@contextmanager
def asked(engine: EngineChoice | None) -> Iterator[OpenStore | OpenCopy]:
    """Give the store, or a copy: no database, AWS only for aliases. Raises NoCopyError, SettingsError."""
    if engine is None:
        with store() as opened:
            yield opened
        return
    require_extra(LAKE, "--engine duckdb")
    from console.event_services import aliases_of
    from crypto_core.trail.parquet.event_copy import EventCopy

    aliases = aliases_of(loaded().settings, code_from_terminal)
    with closing(EventCopy(Path(engine.place), aliases=aliases)) as copy:
        yield OpenCopy(copy)


@contextmanager
def counted_by(engine: EngineChoice | None) -> Iterator[EventCounter]:
    if engine is None or engine.name == "duckdb":
        with asked(engine) as opened:
            yield opened
        return
    yield resolve_name(event_engines()[engine.name]).table(loaded().settings, engine, code_from_terminal)


@contextmanager
def store() -> Iterator[OpenStore]:
    """Give the store alone: no database, and AWS only where a filter names a key by its alias."""
    from console.event_file import open_events
    from console.event_services import aliases_of, coverage_of

    settings = loaded().settings
    read = aliases_of(settings, code_from_terminal)

    def aliases() -> Any:
        known = read()
        opened.aliases_missing = not known
        return known

    typed: Aliases = aliases
    events = open_events(settings, typed, told=say)
    opened = OpenStore(events, _told(coverage_of(settings, events)))
    with closing(events):
        yield opened


def _told(record: CoverageRecord) -> Covered:
    """What tells the coverage, also where no Region is configured and so nobody can say what is missing."""

    def between(since: datetime | None, until: datetime | None) -> Coverage:
        try:
            return record.between(since, until)
        except SettingsError as error:
            return Coverage((f"Which periods the store covers is not known: {error}",))

    return between


def cells(event: TrailEvent) -> tuple[str, ...]:
    """Return an event as a row of HEADERS."""
    session = f"/{event.principal.session}" if event.principal.session else ""
    shown = (
        event.time.strftime("%Y-%m-%d %H:%M:%S") if event.dated else "?",
        event.name,
        f"{event.principal.name}{session}",
        event.source_ip,
        "denied" if event.denied else event.error_code or "ok",
        " → ".join(short_key(arn) for arn in event.key_arns) or event.alias,
        " → ".join(material[:8] for material in event.material_ids),
        str(event.token_ref) if event.token_ref else "",
        event.region,
        event.event_id,
    )
    return tuple(shortened(text, _CELL) for text in shown)

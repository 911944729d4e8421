"""keydeck events list, show, pivot, review: the store alone, without database or AWS."""

from __future__ import annotations

import json
import re
from datetime import datetime
from itertools import chain

import click

from console.commands import events_options
from console.commands.output_options import json_option, rows_option
from console.commands.session import limit_option
from console.printed.event_document import EventDocument
from console.printed.forms import Form
from console.printed.lists import Printout, print_listing
from console.printed.output import print_facts, print_gaps, print_json, say
from crypto_core.lists.paging import Query
from crypto_core.trail.event_fields import PIVOTS
from crypto_core.trail.record_reader import load
from crypto_core.trail.store import StoredEvent
from crypto_core.trail.store.statistics import GroupsQuestion
from crypto_core.trail.store.tallies import EventTally, Tallies, moment_json
from crypto_core.trail.use.tokens import joined
from crypto_core.values.clean_text import CleanText
from crypto_core.values.counts import counted
from crypto_core.values.errors import EventVanishedError
from screens.identities import user_name

_COUNTED = (*PIVOTS, "session", "access_key")
_GROUPS = 100_000


@click.command("list")
@events_options.filter_options
@limit_option(200, "Print at most this many; 0 prints all.", least=0)
@click.option("--oldest-first", is_flag=True, help="The oldest first.")
@events_options.engine_option
@rows_option
def list_(
    *,
    filter_: str,
    since: datetime | None,
    until: datetime | None,
    service: bool,
    limit: int,
    oldest_first: bool,
    engine: events_options.EngineChoice | None,
    form: Form,
) -> None:
    """List events that pass a filter, the newest first.

    What AWS services do by themselves and Keydeck's own calls are hidden unless --all is given or the filter
    is about `service` or `own`; their numbers are printed.
    """
    wanted = events_options.expression(
        filter_, since, until, service=service, own=service or engine is not None
    )
    query = Query(wanted, "time", descending=not oldest_first)
    with events_options.asked(engine) as opened:
        summary = opened.events.summary(wanted)
        total = summary.events
        cut = (f"--limit: {limit:,} of {total:,} events",) if limit and limit < total else ()
        coverage = opened.coverage(since, until, *cut)
        listing = Printout(
            name="events",
            schema="event",
            rows=chain.from_iterable(opened.pages(query, limit)),
            record=StoredEvent.as_json,
            headers=events_options.HEADERS,
            cells=lambda stored: events_options.cells(stored.event),
            spare=("material", "region", "event id"),
            rest=lambda: {
                "hidden_service_events": summary.hidden_service_events,
                "hidden_own_events": summary.hidden_own_events,
                "coverage": coverage.as_json(),
            },
        )
        print_listing(listing, form)
    if form.is_document:
        return
    if cut:
        say(f"{limit:,} of {total:,} events.")
    if summary.hidden_service_events:
        hidden = counted(summary.hidden_service_events, "event")
        say(f"{hidden} of AWS services not shown: --all shows them.")
    if summary.hidden_own_events:
        say(f"{counted(summary.hidden_own_events, 'call')} of Keydeck's own not shown: --all shows them.")
    print_gaps(coverage.reasons[len(cut) :])


@click.command()
@click.argument("event_id")
@json_option
@click.option("--raw", is_flag=True, help="Print the record alone, as it came.")
def show(*, event_id: str, as_json: bool, raw: bool) -> None:
    """Show one event, the record as it came included."""
    if as_json and raw:
        raise click.UsageError("Choose --json or --raw.")
    with events_options.store() as opened:
        stored = opened.events.event(event_id)
    if raw:
        click.echo(_ascii(stored.event.raw))
        return
    record = load(stored.event.raw)
    if as_json:
        print_json(EventDocument(stored, record).as_json())
        return
    facts = {name: value for name, value in stored.as_json().items() if value not in (None, [], {}, "")}
    print_facts(
        (name, json.dumps(value, ensure_ascii=True) if isinstance(value, list | dict) else str(value))
        for name, value in facts.items()
    )
    if stored.receipts:
        print_facts(("receipt", one.words) for one in stored.receipts)
    click.echo()
    print_json(record)


@click.command()
@click.argument("field", type=click.Choice(_COUNTED))
@events_options.filter_options
@limit_option(100, "Print at most this many values; 0 prints all.", least=0)
@events_options.counting_engine_options
@rows_option
def pivot(
    *,
    field: str,
    filter_: str,
    since: datetime | None,
    until: datetime | None,
    service: bool,
    limit: int,
    engine: events_options.EngineChoice | None,
    most: int | None,
    yes: bool,
    form: Form,
) -> None:
    """Count events by principal, address, key, token, … An event about two keys counts for both."""
    wanted = events_options.expression(filter_, since, until, service=service)
    with events_options.counted_by(events_options.counting_engine(engine, most, yes=yes)) as opened:
        split = field in ("key", "material")
        most = _GROUPS if split or not limit else limit
        found, hidden = opened.groups(GroupsQuestion((field,), limit=most, valued=True), wanted)
        found = _split(found, limit or _GROUPS) if split else found
        cut = []
        if found.others:
            others = counted(found.others, "value")
            cut.append(f"--limit: {others} more, with {counted(found.rest, 'event')}")
        coverage = opened.coverage(since, until, *cut)
    headers = (field, "events", "failed", "denied", "first", "last")
    listing = Printout(
        name="values",
        rows=found.rows,
        record=lambda row: dict(zip(("value", *headers[1:]), _counts(row), strict=True)),
        headers=headers,
        cells=_counts,
        spare=("first",),
        rest=lambda: {
            "field": field,
            "others": found.others,
            "rest": found.rest,
            "hidden_service_events": hidden,
            "coverage": coverage.as_json(),
        },
    )
    print_listing(listing, form)
    if form.is_document:
        return
    for reason in cut:
        say(reason)
    if hidden:
        say(f"{counted(hidden, 'event')} of AWS services not counted: --all counts them.")
    print_gaps(coverage.reasons[len(cut) :])


@click.command()
@click.argument("event_ids", nargs=-1, required=True, metavar="EVENT_ID…")
@click.option("--note", metavar="TEXT", help='Write this on each of them; "" takes a note away.')
@click.option("--undo", is_flag=True, help="They are no longer reviewed.")
def review(*, event_ids: tuple[str, ...], note: str | None, undo: bool) -> None:
    """Mark events as reviewed, or no longer so; with --note, also write a note on them.

    It is kept in the store with the name of this user; what has a note is not forgotten with old events.
    """
    by = user_name()
    with events_options.store() as opened:
        for event_id in event_ids:  # all or none of them
            opened.events.event(event_id)
        done = opened.events.review(event_ids, by, reviewed=not undo)
        if done < len(set(event_ids)):
            raise EventVanishedError("Some of the events are not in the store any more.")
        if note is not None:
            for event_id in event_ids:
                opened.events.annotate(event_id, note, by)
    say(f"{counted(done, 'event')} {'no longer reviewed' if undo else 'reviewed'}.")


def _counts(row: EventTally) -> tuple[str | int, ...]:
    ends = (moment_json(row.first) or "?", moment_json(row.last) or "?")
    return (row.texts[0], row.events, row.failed, row.denied, *ends)


def _split(found: Tallies, limit: int) -> Tallies:
    """Count each of an event's keys, or materials, by itself."""
    single: dict[CleanText, EventTally] = {}
    for row in found.rows:
        for text in map(CleanText, row.texts[0].split(" ")):
            alone = EventTally((text,), row.events, row.failed, row.denied, row.first, row.last)
            single[text] = joined(single.get(text), alone)
    ordered = sorted(single.values(), key=lambda t: (-t.events, t.texts))
    left = ordered[limit:]
    return Tallies(
        found.fields,
        tuple(ordered[:limit]),
        found.others + len(left),
        found.rest + sum(t.events for t in left),
    )


def _ascii(raw: bytes) -> str:
    """A record as it came, but for characters that would act on a terminal: these are JSON's escapes."""

    def escaped(found: re.Match[str]) -> str:
        return json.dumps(found[0], ensure_ascii=True)[1:-1]

    text = raw.decode("utf-8", "replace").replace("\r", "")
    return re.sub(r"[^\n\t -~]", escaped, text)

"""keydeck events provider list, show, cover: the store alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime

import click

from console.commands.moments import time_option
from console.commands.output_options import json_option
from console.commands.session import limit_option, loaded
from console.event_file import open_events
from console.printed.output import print_facts, print_json, print_table, say, utc
from crypto_core.forensics.provider_logs.event import ProviderEvent
from crypto_core.forensics.provider_logs.mappings import PROVIDERS
from crypto_core.forensics.provider_logs.store import CoverBook, EventChoice, ProviderLog

HEADERS = ("time", "provider", "action", "actor", "from", "target", "place", "by", "id")
_CELL = 60


@contextmanager
def provider_log() -> Iterator[ProviderLog]:
    with closing(open_events(loaded().settings, told=say)) as store:
        yield ProviderLog(store.file)


def event_cells(one: ProviderEvent) -> tuple[str, ...]:
    texts = (one.action, one.actor, one.address, one.target, one.place, one.access, one.event_id)
    return (utc(one.at), one.provider, *(text[:_CELL] or "-" for text in texts))


@click.command("list")
@click.option("--provider", "name", type=click.Choice(PROVIDERS), help="Only this provider's.")
@time_option("--since", "From a date, or how long ago: 2h, 7d.")
@time_option("--until", "Up to a date, or how long ago.")
@click.option("--filter", "words", default="", metavar="TEXT", help="Stands in one of their texts.")
@limit_option(200, "Print at most this many.")
@json_option
def list_(
    *, name: str | None, since: datetime | None, until: datetime | None, words: str, limit: int, as_json: bool
) -> None:
    """List providers' events, the newest first."""
    choice = EventChoice(name or "", since, until, words=words)
    with provider_log() as log:
        events = log.events(choice, limit=limit, newest_first=True)
        number = log.count(choice)
    if as_json:
        print_json({"events": [one.as_json() for one in events], "number": number})
        return
    if events:
        print_table(HEADERS, [event_cells(one) for one in events])
    if number > len(events):
        say(f"{len(events):,} of {number:,} events.")
    if not number:
        say("No such events. Fetch some: keydeck events provider pull; read files: events provider import.")


@click.command()
@click.argument("name", type=click.Choice(PROVIDERS), metavar="PROVIDER")
@click.argument("event_id")
@json_option
def show(*, name: str, event_id: str, as_json: bool) -> None:
    """Show one event, the record as it came included."""
    with provider_log() as log:
        one = log.event(name, event_id)
    document = one.as_json(record=True)
    if as_json:
        print_json(document)
        return
    print_facts((key, str(value)) for key, value in document.items() if value is not None and key != "record")
    click.echo()
    print_json(document.get("record"))


@click.command()
@json_option
def cover(*, as_json: bool) -> None:
    """Say which providers' events the store has, and for which times it has them all.

    A time is covered where a pull came to its end, or where whoever imported files said that they were the
    whole export. Of any other time, what is not in the store may have happened.
    """
    with provider_log() as log:
        found, periods = log.summaries(), CoverBook(log.file).periods()
    if as_json:
        covered = [one.as_json() for one in periods]
        print_json({"events": [one.as_json() for one in found], "covered": covered})
        return
    rows = [(one.provider, one.place or "-", one.events, utc(one.first), utc(one.last)) for one in found]
    if rows:
        print_table(("provider", "place", "events", "first", "last"), rows)
    for one in periods:
        place = f" {one.place}" if one.place else ""
        click.echo(f"covered: {one.provider}{place} from {utc(one.since)} to {utc(one.until)} ({one.origin})")
    if not periods:
        say("No time is covered: what is not in the store may have happened.")

"""keydeck events stats: events counted by some fields and by the clock, with thresholds."""

from __future__ import annotations

from datetime import datetime

import click

from console.commands import events_options
from console.commands.output_options import rows_option
from console.commands.session import limit_option
from console.printed.forms import Form
from console.printed.lists import Printout, print_listing
from console.printed.output import print_gaps, say
from crypto_core.trail.store.statistics import (
    FIELDS,
    MEASURES,
    MOST_FIELDS,
    GroupsQuestion,
    Threshold,
    threshold,
)
from crypto_core.values.counts import counted

_ALL = 1_000_000
MEASURED = ("count", "failed", "denied")


def _fields(_ctx: click.Context, _param: click.Parameter, value: str) -> tuple[str, ...]:
    fields = tuple(name.strip() for name in value.split(","))
    unknown = [name for name in fields if name not in FIELDS]
    if unknown:
        raise click.BadParameter(f"There is no field {unknown[0]!r}. Fields: {', '.join(FIELDS)}.")
    if len(fields) > MOST_FIELDS or len(set(fields)) < len(fields):
        raise click.BadParameter(f"Name each field once, at most {MOST_FIELDS}.")
    return fields


def _thresholds(_ctx: click.Context, _param: click.Parameter, value: tuple[str, ...]) -> list[Threshold]:
    found = []
    for text in value:
        one = threshold(text)
        if one is None:
            raise click.BadParameter(f"{text!r} is no condition: write count>100 ({', '.join(MEASURES)}).")
        found.append(one)
    return found


@click.command()
@click.option(
    "--by",
    "fields",
    required=True,
    callback=_fields,
    metavar="FIELD,…",
    help="What to count by: fields of events, hour (of the day), day, weekday, in UTC.",
)
@click.option("--distinct", type=click.Choice(FIELDS), help="Count the different values of this field, too.")
@click.option(
    "--having",
    "thresholds",
    multiple=True,
    callback=_thresholds,
    metavar="'count>100'",
    help="Only groups with so many; also failed, denied and distinct. May be repeated.",
)
@events_options.filter_options
@limit_option(100, "Print at most this many groups; 0 prints all.", least=0)
@events_options.counting_engine_options
@rows_option
def stats(
    *,
    fields: tuple[str, ...],
    distinct: str | None,
    thresholds: list[Threshold],
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
    """Count events by some fields together: --by principal,hour --having 'count>100'.

    Each group with how many events it has, how many failed and were denied, the first and the last. An event
    about two keys has both in one value.
    """
    if not distinct and any(one.measure == "distinct" for one in thresholds):
        raise click.UsageError("--having distinct: name the field with --distinct.")
    wanted = events_options.expression(filter_, since, until, service=service)
    counting = GroupsQuestion(fields, distinct or "", tuple(thresholds), limit or _ALL)
    with events_options.counted_by(events_options.counting_engine(engine, most, yes=yes)) as opened:
        found, hidden = opened.groups(counting, wanted)
        cut = []
        if found.others:
            others = counted(found.others, "group")
            cut.append(f"--limit: {others} more, with {counted(found.rest, 'event')}")
        coverage = opened.coverage(since, until, *cut)
    document = {"by": list(fields), "distinct": distinct or None, **found.as_json({"events": "count"})}
    listing = Printout(
        name="rows",
        rows=document.pop("rows"),
        record=dict,
        headers=(*fields, *MEASURED, *([f"{distinct}s"] if distinct else ()), "first", "last"),
        cells=lambda row: [value if value is not None else "?" for value in row.values()],
        rest=lambda: document | {"hidden_service_events": hidden, "coverage": coverage.as_json()},
    )
    print_listing(listing, form)
    if form.is_document:
        return
    for reason in cut:
        say(reason)
    if hidden:
        say(f"{counted(hidden, 'event')} of AWS services not counted: --all counts them.")
    print_gaps(coverage.reasons[len(cut) :])

"""keydeck events watch: reports every use of a key since a time, and says when it is provably quiet."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from console.commands.events_options import cells
from console.commands.moments import time_option
from console.commands.output_options import json_lines_option
from console.commands.session import services_of
from console.completion.offers import key_names
from console.host.interrupts import cancelled_by_interrupt
from console.printed.output import print_gaps, print_line, say
from crypto_core.lists.filter_language import how_long
from crypto_core.trail.key_watch import SHORTEST_SECONDS, KeyUse, WatchStatus
from crypto_core.trail.use.reach import at
from crypto_core.values.cancellation import stop_if

_BEFORE = timedelta(days=1)


def _period(ctx: click.Context, param: click.Parameter, value: str | None) -> timedelta | None:
    if value is None:
        return None
    period = how_long(value)
    if not period:
        raise click.BadParameter("Use a form such as 90s, 30m, 2h, 7d or 2w.")
    return period


@click.command()
@click.option(
    "--key",
    "keys",
    multiple=True,
    required=True,
    shell_complete=key_names,
    metavar="KEY",
    help="ARN, key id or alias.",
)
@time_option("--since", "From a date, or how long ago: 2h, 7d [24h ago; with --quiet, now].")
@click.option(
    "--every",
    type=click.FloatRange(min=SHORTEST_SECONDS),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help=f"Between two looks, {SHORTEST_SECONDS:g} at least.",
)
@click.option(
    "--quiet", callback=_period, metavar="DURATION", help="Until it has been quiet for this long: 2h, 7d."
)
@click.option("--once", is_flag=True, help="Look once.")
@click.option("--no-pull", is_flag=True, help="Fetch nothing; use only what the store holds.")
@json_lines_option
def watch(
    *,
    keys: tuple[str, ...],
    since: datetime | None,
    every: float,
    quiet: timedelta | None,
    once: bool,
    no_pull: bool,
    as_json: bool,
) -> int:
    """Report every use of a key since a time, in all its Regions, each once, as it comes to be known.

    With --quiet it ends: exit 0 once the key was not used for that long, and all of that is covered (what is
    younger than 15 minutes never is: CloudTrail delivers late); exit 1 at a use. Uses by Keydeck itself, in
    your name, and denied attempts are told, and don't count; attempts that failed otherwise do. With --once:
    exit 1 if it was used; 3 if --quiet can't be told. --json prints JSON lines.
    """
    begin = since or datetime.now(UTC) - (timedelta(0) if quiet else _BEFORE)
    told: tuple[str, ...] = ()
    look: WatchStatus | None = None
    stop = "Stopped watching."
    with services_of() as services, cancelled_by_interrupt(stop) as cancelled:
        monitor = services.trail.monitor
        watching = monitor.begin_watch(keys, begin, pull=not no_pull, cancelled=cancelled)
        if watching.note:
            say(watching.note)
        while True:
            look = watching.look_for_uses(cancelled=cancelled)
            for use in look.uses:
                _print_use(use, as_json=as_json)
            if look.more:
                stop_if(cancelled)
                continue
            if as_json:
                silent = look.is_quiet(quiet) if quiet is not None else None
                _line({"type": "look", **look.as_json(), "quiet": silent})
            elif look.gaps != told:
                print_gaps(look.gaps)
                told = look.gaps
            code = _end(look, quiet, once=once)
            if code is not None:
                break
            cancelled.wait(every)
            stop_if(cancelled)
    if not as_json:
        _say_end(look, quiet)
    return code


def _end(look: WatchStatus, quiet: timedelta | None, *, once: bool) -> int | None:
    """The exit code; None where the watch goes on."""
    if quiet is not None:
        if look.used:
            return 1
        if look.is_quiet(quiet):
            return 0
        return 3 if once else None
    if once:
        return 1 if look.used else 0
    return None


def _print_use(use: KeyUse, *, as_json: bool) -> None:
    if as_json:
        _line({"type": "use", **use.as_json()})
        return
    time, name, who, source, result, key, material, token, region, event_id = cells(use.event)
    words = [
        time,
        f"{use.kind.value:6}",
        *(["keydeck's own"] if use.own else []),
        *(["late"] if use.late else []),
        *(name, who, f"from {source}"),
        *([] if result in ("ok", use.kind.value) else [result]),
        *(key, material, token, region, event_id),
    ]
    print_line("  ".join(word for word in words if word))


def _line(document: dict[str, Any]) -> None:
    click.echo(json.dumps(document, ensure_ascii=True))


def _say_end(look: WatchStatus, quiet: timedelta | None) -> None:
    counts = ", ".join(f"{kind} {number:,}" for kind, number in look.counts.items())
    say(f"Since {at(look.since)}: {counts}, by Keydeck itself {look.own:,}.")
    if look.last_use:
        say(f"Last used at {at(look.last_use)}.")
    elif look.gaps or look.covered_until is None:
        say("No use is known, but the events don't cover the whole time.")
    else:
        say(f"Not used from {at(look.since)} to {at(look.covered_until)}.")
    if quiet is not None and look.is_quiet(quiet):
        say("It was quiet for as long as requested.")

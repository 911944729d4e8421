"""keydeck events export: a copy of the store's events for engines that ask many."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from console.commands.events_options import expression
from console.commands.moments import time_option
from console.commands.output_options import json_option
from console.commands.session import loaded
from console.extras import LAKE, require_extra
from console.host.interrupts import cancelled_by_interrupt
from console.printed.output import meter, print_json, say
from crypto_core.lists.paging import Query
from crypto_core.values.counts import counted

_STOPPING = "Stopping; days that are written are whole. Press again to stop at once."


@click.command()
@click.option(
    "--parquet",
    "folder",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write a copy in Parquet: account=…/region=…/day=…/events.parquet.",
)
@click.option("--filter", "filter_", default="", metavar="EXPR", help="Only events that pass.")
@time_option("--since", "From a date, or how long ago: 2h, 7d.")
@time_option("--until", "Up to a date, or how long ago.")
@json_option
def export(
    *, folder: Path, filter_: str, since: datetime | None, until: datetime | None, as_json: bool
) -> int:
    """Write a copy of the store's events that DuckDB, Athena and pandas read.

    Its columns are the fields of filters, `epoch` (seconds since 1970), `time`, `event_id`, and `raw`, the
    record as it came. Each day of an account's Region is written as a whole, or stays as it was. DIR must be
    new, empty, or such a copy of the same filter. Needs extra `lake`, and neither database nor AWS.
    """
    require_extra(LAKE, "events export")
    from contextlib import closing

    from console.event_file import open_events
    from crypto_core.trail.parquet.export import export_events

    wanted = expression(filter_, since, until)
    with (
        closing(open_events(loaded().settings, told=say)) as store,
        cancelled_by_interrupt(_STOPPING) as cancelled,
        meter("export", "events") as shown,
    ):
        total = store.count(Query(wanted))
        report = export_events(
            store,
            folder,
            wanted,
            at=datetime.now(UTC),
            progress=lambda events: shown.show(events, total),
            cancelled=cancelled,
        )
    if as_json:
        print_json(report.as_json())
    else:
        partitions = counted(report.partitions, "partition")
        click.echo(f"{counted(report.events, 'event')} in {partitions}, {counted(report.days, 'day')}.")
    if report.interrupted:
        say("Interrupted: the days that were written are whole, later ones are as they were.")
        return 130
    return 0

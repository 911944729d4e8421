"""keydeck events: CloudTrail's events in the local store. Each subcommand is imported when it is used."""

from __future__ import annotations

import click

from console.capabilities import added_commands, placed
from console.lazy_commands import LazyGroup

_COMMANDS: dict[str, tuple[str, str]] = {
    "list": ("console.commands.events_list", "List events that pass a filter, the newest first."),
    "show": ("console.commands.events_list", "Show one event, the record as it came included."),
    "pivot": ("console.commands.events_list", "Count events by principal, address, key, token, …"),
    "stats": ("console.commands.events_stats", "Count events by fields and hours, with thresholds."),
    "review": ("console.commands.events_list", "Mark events as reviewed, or write a note on one."),
    "import": ("console.commands.events_import", "Read CloudTrail's files and folders into the store."),
    "receipts": ("console.commands.events_import", "Read receipts of KMS calls out of files and logs."),
    "export": ("console.commands.events_export", "Write a copy in Parquet, for DuckDB, Athena and pandas."),
    "pull": ("console.commands.events_pull", "Fetch events from CloudTrail, its bucket or a query engine."),
    "watch": ("console.commands.events_watch", "Report every use of a key since a time."),
    "token": ("console.commands.events_use", "Who opened one token, by CloudTrail and receipts."),
    "principal": ("console.commands.events_use", "Which tokens a principal opened, and could have opened."),
    "vacuum": ("console.commands.events_import", "Forget old events and give their space back."),
}


@click.group(cls=LazyGroup, table=placed(_COMMANDS, added_commands("events")))
def events() -> None:
    """CloudTrail's events: who used the keys, for which token, and is that normal."""

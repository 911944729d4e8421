"""keydeck journal list, keydeck journal verify."""

from __future__ import annotations

import click

from console.commands.session import json_option, wired
from console.printing import print_json, print_table


@click.group()
def journal() -> None:
    """The append-only record of changes, refusals and dry runs."""


@journal.command("list")
@click.option(
    "--limit", type=click.IntRange(min=1), default=100, show_default=True, help="The newest so many."
)
@json_option
@click.pass_context
def list_(ctx: click.Context, *, limit: int, as_json: bool) -> None:
    """List the newest entries, oldest first."""
    with wired(ctx) as services:
        entries = services.journal.entries(limit=limit)
    if as_json:
        print_json(
            {
                "entries": [
                    {
                        "seq": e.seq,
                        "at": e.at.isoformat(),
                        "actor": e.actor,
                        "host": e.host,
                        "action": e.action,
                        "subject": e.subject,
                        "outcome": e.outcome,
                        "detail": e.detail,
                        "digest": e.digest.hex(),
                    }
                    for e in entries
                ]
            }
        )
        return
    rows = [
        (e.seq, e.at.strftime("%Y-%m-%d %H:%M:%S"), e.action, e.outcome, e.subject, e.actor) for e in entries
    ]
    print_table(("seq", "at (UTC)", "action", "outcome", "subject", "actor"), rows)


@journal.command()
@json_option
@click.pass_context
def verify(ctx: click.Context, *, as_json: bool) -> int:
    """Check the hash chain. Exit 1 if an entry was changed, removed or reordered."""
    with wired(ctx) as services:
        broken = services.journal.verify()
    if as_json:
        print_json({"whole": broken is None, "broken": broken})
    else:
        click.echo(broken or "The journal is whole.")
    return 1 if broken else 0

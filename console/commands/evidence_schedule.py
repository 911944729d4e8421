"""keydeck evidence schedule: what makes a record every day."""

from __future__ import annotations

import secrets
import shlex

import click

from console.own_folders import this_command
from console.printed.printing import say
from crypto_core.guard.operations import BY_NAME

PULL, RECORD = ("events", "pull", "--yes"), ("evidence", "record", "--yes")


def cron_line(minute: int) -> str:
    """Return a crontab's lines: events are fetched, then the record is made, at a minute after two (UTC)."""
    steps = "; ".join(shlex.join([this_command(), *step]) for step in (PULL, RECORD))
    command = steps.replace("%", r"\%")  # in a crontab a percent sign is a line's end
    return (
        "# evidence.env, which only you can read, has DATABASE_URL, KEYDECK_SIGNING_KEY, AWS's variables.\n"
        "CRON_TZ=UTC\n"
        f'{minute} 2 * * * set -a; . "$HOME/.config/keydeck/evidence.env"; {command}\n'
    )


@click.command()
@click.option(
    "--minute",
    type=click.IntRange(0, 59),
    default=None,
    help="The minute after 02:00 UTC; a random one unless you name it, so that not all begin at once.",
)
def schedule(*, minute: int | None) -> None:
    """Print a crontab's line that fetches events and makes a record every day. Changes nothing.

    No secret is printed. Where keydeck watch runs, it records every day, too: one of them is enough.
    """
    click.echo(cron_line(secrets.randbelow(60) if minute is None else minute), nl=False)
    role = BY_NAME["evidence record"].role
    say(f"Its database role and AWS role need what this prints: keydeck grants {role}.")

"""keydeck evidence record and schedule: everything that controls are about, kept as the record of a day."""

from __future__ import annotations

import secrets
import shlex
from typing import TYPE_CHECKING

import click

from console.commands.operation_command import OperationCommand
from console.commands.output_options import json_option
from console.commands.questions import confirm, yes_option
from console.commands.session import services_of
from console.host.interrupts import cancelled_by_interrupt
from console.own_folders import this_command
from console.printed.output import print_answer, print_line, say, utc
from crypto_core.guard.operations import BY_NAME
from crypto_core.values.counts import counted

if TYPE_CHECKING:
    from crypto_core.compliance.records.daily_record import RecordedDay

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


@click.command(cls=OperationCommand, operation="evidence record")
@click.option("--dry-run", is_flag=True, help="Measure and show; keep nothing.")
@yes_option
@json_option
def record(*, dry_run: bool, yes: bool, as_json: bool) -> int:
    """Measure everything that controls are about, and keep that, signed, as the record of this day.

    For cron, once a day. A record names the one before, and the journal names each; a day without one is a
    gap. Exit code 3 if something could not be read, or not be signed though a signing
    key is set: the record is kept all the same, and says so.
    """
    if not dry_run and not yes:
        confirm(
            "Measure everything and keep that?",
            about="This keeps a record.",
            otherwise="; --dry-run only looks",
        )
    from console.evidence.services import EvidenceServices

    with services_of() as services, cancelled_by_interrupt() as cancelled:
        recorder = services.of(EvidenceServices).evidence_recorder
        made = recorder.draft(cancelled) if dry_run else recorder.record_day(cancelled)
    print_answer(made, _print, as_json=as_json)
    return 3 if made.failed else 0


def _print(made: RecordedDay) -> None:
    record = made.record
    size = counted(len(record.document.encode()), "byte")
    said = "kept" if made.written else "not kept: this is a dry run"
    print_line(f"Record {record.number:,} of {utc(record.taken_at)} UTC, {size}: {said}.")
    if record.signature is not None:
        print_line(f"Signed by {record.signature.algorithm} of {record.signature.key_arn}.")
    elif made.written:
        say(f"Not signed: {record.unsigned_because}")
    if made.checkpoint is not None:
        print_line(f"The journal is signed up to entry {made.checkpoint.seq:,}.")
    for part, missing in made.missing.items():
        say(f"{part}: {missing.lack}: {missing.reason}")

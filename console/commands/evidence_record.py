"""keydeck evidence record: everything that controls are about, measured and kept as the record of a day."""

from __future__ import annotations

import click

from console.commands.asking import confirm, yes_option
from console.commands.operation_command import OperationCommand
from console.commands.output_options import json_option
from console.commands.session import services_of
from console.host.interrupts import cancelled_by_interrupt
from console.printed.printing import print_answer, print_line, say, utc
from crypto_core.compliance.records.recording import RecordedDay
from crypto_core.text.counting import counted


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
    with services_of() as services, cancelled_by_interrupt() as cancelled:
        recorder = services.evidence_recorder
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

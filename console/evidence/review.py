"""keydeck evidence review: who may use the keys, who did, and that somebody looked at it."""

from __future__ import annotations

import click

from console.commands.operation_command import OperationCommand
from console.commands.output_options import json_option
from console.commands.questions import confirm, yes_option
from console.commands.session import services_of
from console.evidence.services import EvidenceServices
from console.host.interrupts import cancelled_by_interrupt
from console.printed.output import print_json, print_line, print_table, say, utc
from crypto_core.compliance.access_review import AccessReview
from crypto_core.values.counts import counted, listed


@click.command(cls=OperationCommand, operation="evidence review")
@click.option(
    "--reason", required=True, metavar="TEXT", help="What it is done for, such as: quarterly review."
)
@click.option("--dry-run", is_flag=True, help="Show it; keep nothing.")
@yes_option
@json_option
def review(*, reason: str, dry_run: bool, yes: bool, as_json: bool) -> int:
    """Show who may use the keys that guard tokens, and who did since the last review; note that you looked.

    The journal has who reviewed, why, and the SHA-256 of what was looked at, which --json prints: keep that.
    Exit code 3 if something of it could not be read; it is noted all the same, with how much.
    """
    with services_of() as services, cancelled_by_interrupt() as cancelled:
        looked = services.of(EvidenceServices).access_reviewer.look(cancelled)
        if not as_json or not (yes or dry_run):
            _print(looked, err=as_json)
        if not dry_run:
            if not yes:
                confirm("Note that you have reviewed this?", about="This notes a review.")
            services.of(EvidenceServices).access_reviewer.record(looked, reason)
    if as_json:
        print_json(looked.as_json() | {"recorded": not dry_run})
    elif not dry_run:
        print_line(f"Noted in the journal: access to {listed(looked.names, 6)}, SHA-256 {looked.sha256}.")
    return 3 if looked.gaps else 0


def _print(looked: AccessReview, *, err: bool) -> None:
    names = {one.arn: one.name for one in looked.keys}
    print_line(f"Who may use {counted(len(looked.keys), 'key')}:", err=err)
    may = [
        (one.key, one.who, listed(one.actions, 6), f"{one.by}, IAM decides" if one.delegated else one.by)
        for one in looked.accesses
    ]
    print_table(("key", "who", "may", "by"), may, err=err)
    print_line(f"Who did, from {utc(looked.since)} to {utc(looked.until)} UTC:", err=err)
    did = [
        (names.get(one.key, one.key), one.who, one.action, f"{one.calls:,}", f"{one.denied:,}")
        for one in looked.uses
    ]
    print_table(("key", "who", "called", "calls", "denied"), did, err=err)
    for gap in looked.gaps:
        say(f"Not known: {gap}")

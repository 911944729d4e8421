"""keydeck backups: the envelopes that were replaced, and that `jobs restore` restores."""

from __future__ import annotations

from datetime import datetime

import click

from console.commands.asking import consent_to
from console.commands.moments import time_option
from console.commands.operation_command import OperationCommand
from console.commands.session import json_option, services_of
from console.printed.printing import print_json, say
from crypto_core.text.counting import counted


@click.group()
def backups() -> None:
    """Envelopes that were replaced are kept in keydeck.envelope_backup until they are purged."""


@backups.command(cls=OperationCommand, operation="backups purge")
@click.option("--job", type=click.IntRange(min=1), metavar="JOB", help="Only those that this job replaced.")
@time_option("--before", "Only those that were replaced before.")
@json_option
def purge(*, job: int | None, before: datetime | None, dry_run: bool, yes: bool, as_json: bool) -> int:
    """Forget replaced envelopes for good: what they were of can no longer be restored."""
    with services_of() as services:
        plan = services.undoing.plan_purge(job=job, before=before)
        purged = 0
        if plan.envelopes and not dry_run:
            about = "They can't be restored afterwards."
            say(f"{counted(plan.envelopes, 'replaced envelope')} would be forgotten. {about}")
            purged = services.undoing.purge_backups(plan, consent_to(plan, yes=yes, about=about))
    if as_json:
        print_json({"dry_run": dry_run, "envelopes": plan.envelopes, "purged": purged})
    elif dry_run or not plan.envelopes:
        click.echo(f"{counted(plan.envelopes, 'replaced envelope')} kept.")
    else:
        click.echo(f"{counted(purged, 'replaced envelope')} forgotten.")
    return 0

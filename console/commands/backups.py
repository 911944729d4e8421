"""keydeck backups: the envelopes that were replaced, restored or forgotten."""

from __future__ import annotations

from datetime import datetime

import click

from console.commands.moments import time_option
from console.commands.operation_command import OperationCommand
from console.commands.output_options import json_option
from console.commands.questions import consent_to
from console.commands.session import services_of, trust_option
from console.completion.offers import job_numbers, token_references
from console.host.interrupts import cancelled_by_interrupt
from console.printed.output import print_json, print_line, say
from crypto_core.reencryption.backup_restore import BackupRestoreResult, BackupSelection
from crypto_core.values.counts import counted
from crypto_core.values.references import parse_reference


@click.group()
def backups() -> None:
    """Envelopes that were replaced are kept in keydeck.envelope_backup until they are purged."""


@backups.command(cls=OperationCommand, operation="backups restore")
@click.argument("references", nargs=-1, shell_complete=token_references, metavar="[REF]...")
@time_option("--since", "Every token that was written since.")
@trust_option
@json_option
def restore(
    *,
    references: tuple[str, ...],
    since: datetime | None,
    trust: tuple[str, ...],
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> int:
    """Restore the envelope that stood before the present value, once KMS has opened it.

    A present value that opens and holds another token stays. Exit code 1 unless every token was restored.
    """
    if bool(references) == (since is not None):
        raise click.UsageError("Name references, or --since TIME.")
    selection = BackupSelection(tuple(parse_reference(ref) for ref in references), since)
    with services_of(trust=trust) as services:
        plan = services.tokens.backup_restoring.plan_restore(selection)
        result = BackupRestoreResult(0, plan.refused, plan.tokens)
        if not (dry_run and as_json):
            under = f", under {', '.join(plan.key_arns)}" if plan.key_arns else ""
            say(f"{counted(plan.tokens, 'envelope')} to restore{under}.")
            for warning in plan.warnings:
                say(warning)
        if plan.tokens and not dry_run:
            about = "This restores tokens as they were stored before, under the key of that time."
            consent = consent_to(plan, yes=yes, about=about, typed="the number of tokens")
            with cancelled_by_interrupt() as cancelled:
                result = services.tokens.backup_restoring.restore_envelopes(
                    plan, consent, cancelled=cancelled
                )
    left = [{"reference": one.reference, "reason": one.reason} for one in result.left]
    if as_json:
        selected = plan.tokens + len(plan.refused)
        counts = {"selected": selected, "tokens": plan.tokens, "restored": result.restored}
        named = {"keys": list(plan.key_arns), "not_restored": left, "stopped_by": result.stopped_by}
        print_json({"dry_run": dry_run} | counts | named)
    else:
        for one in left:
            print_line(f"{one['reference']}: {one['reason']}")
        if not dry_run:
            click.echo(f"{counted(result.restored, 'token')} restored, {len(left):,} not.")
        if result.stopped_by:
            say(f"Stopped: {result.stopped_by} {counted(result.remaining, 'token')} not tried.")
    if dry_run:
        return 1 if left else 0
    if result.interrupted:
        return 130
    if result.stopped_by:
        return 3
    return 0 if result.complete and result.restored else 1


@backups.command(cls=OperationCommand, operation="backups purge")
@click.option(
    "--job",
    type=click.IntRange(min=1),
    shell_complete=job_numbers,
    metavar="JOB",
    help="Only those that this job replaced.",
)
@time_option("--before", "Only those that were replaced before.")
@json_option
def purge(*, job: int | None, before: datetime | None, dry_run: bool, yes: bool, as_json: bool) -> int:
    """Forget replaced envelopes for good: what they were of can no longer be restored."""
    with services_of() as services:
        plan = services.tokens.undoing.plan_purge(job=job, before=before)
        purged = 0
        for warning in plan.warnings:
            say(warning)
        if plan.envelopes and not dry_run:
            about = "They can't be restored afterwards."
            say(f"{counted(plan.envelopes, 'replaced envelope')} would be forgotten. {about}")
            purged = services.tokens.undoing.purge_backups(plan, consent_to(plan, yes=yes, about=about))
    if as_json:
        print_json({"dry_run": dry_run, "envelopes": plan.envelopes, "purged": purged})
    elif dry_run or not plan.envelopes:
        click.echo(f"{counted(plan.envelopes, 'replaced envelope')} kept.")
    else:
        click.echo(f"{counted(purged, 'replaced envelope')} forgotten.")
    return 0

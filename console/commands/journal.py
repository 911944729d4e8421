"""keydeck journal list, verify, checkpoint, break."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from console.commands.asking import consent_to
from console.commands.moments import time_option
from console.commands.operation_command import OperationCommand
from console.commands.session import json_option, services_of
from console.printed.printing import print_answer, print_json, print_line, print_table, say, utc
from crypto_core.database.state.checkpoint import Checkpoint, checkpoint_of, told_break
from crypto_core.database.state.journal import EntryFilter
from crypto_core.database.state.journal_breaks import BreakPlan, BreakResult
from crypto_core.database.state.journal_verification import JournalCheck
from crypto_core.errors import RefusedError
from crypto_core.guard.outcome import Outcome
from screens.ages import ago

LARGEST_CHECKPOINT = 65_536
"""Bytes of a file that may be a checkpoint."""


@click.group()
def journal() -> None:
    """The append-only record of changes, refusals and dry runs."""


@journal.command("list")
@time_option("--since", "Only entries since then.")
@time_option("--until", "Only entries until then.")
@click.option("--actor", default="", metavar="TEXT", help="Only entries whose actor has this in it.")
@click.option("--action", default="", metavar="TEXT", help="Only entries whose action has this in it.")
@click.option("--subject", default="", metavar="TEXT", help="Only entries whose subject has this in it.")
@click.option("--outcome", type=click.Choice([o.value for o in Outcome]), default=None, help="Only these.")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    help="At most this many, the newest.",
)
@json_option
def list_(
    *,
    since: datetime | None,
    until: datetime | None,
    actor: str,
    action: str,
    subject: str,
    outcome: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """List the newest entries, oldest first."""
    which = EntryFilter(since, until, actor, action, subject, outcome or "")
    with services_of() as services:
        # One more than is shown tells whether there are more.
        entries = services.journal.entries(limit=limit + 1, which=which)
    more, entries = len(entries) > limit, entries[-limit:]
    if as_json:
        print_json({"entries": [entry.as_json() for entry in entries], "more": more})
        return
    rows = [(e.seq, utc(e.at), e.action, e.outcome, e.subject, e.who) for e in entries]
    print_table(("seq", "at (UTC)", "action", "outcome", "subject", "actor"), rows)
    if more:
        say(f"The newest {limit:,} only; there are more: --limit N.")


checkpoint_option = click.option(
    "--checkpoint",
    "files",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Check it by this checkpoint too, as journal checkpoint --json has printed it.",
)


@journal.command()
@checkpoint_option
@click.option("--database-id", default="", metavar="ID", help="The id that the journal must have.")
@json_option
def verify(*, files: tuple[Path, ...], database_id: str, as_json: bool) -> int:
    """Check the hash chain, and the checkpoints' signatures.

    Exit 1 if an entry or a checkpoint was changed, removed or reordered; 3 if KMS could not be asked about
    the signatures.
    """
    kept = [_read(file) for file in files]
    with services_of() as services:
        check = services.checkpoints.verify(kept=kept, database_id=database_id)
    print_answer(check, _print, as_json=as_json)
    if check.problems:
        return 1
    return 3 if check.failed else 0


def _print(check: JournalCheck) -> None:
    for problem in check.problems:
        print_line(problem)
    if check.whole:
        since = f" from entry {check.breaks[-1].seq:,} on" if check.breaks else ""
        click.echo(f"The journal is whole{since}: {_entries(check.entries)}.")
    for broken in check.breaks:
        print_line(told_break(broken))
    for problem in check.acknowledged:
        print_line(f"Acknowledged: {problem}")
    if check.database_id:
        print_line(f"Database {check.database_id}.")
    if check.anchored_at is not None:
        open_ = check.entries - check.anchored
        click.echo(
            f"Anchored up to entry {check.anchored:,}, {ago(check.anchored_at, datetime.now(UTC))} "
            f"({utc(check.anchored_at)} UTC); {_entries(open_)} since."
        )
    if check.unchecked:
        say(f"Signatures were not checked: {check.unchecked}")
    if check.anchored_at is None:
        say(
            "No signed checkpoint: missing newest entries or a rebuilt chain would go unnoticed. "
            "Make a checkpoint: keydeck journal checkpoint."
        )


@journal.command(cls=OperationCommand, operation="journal checkpoint")
@json_option
def checkpoint(*, as_json: bool) -> None:
    """Sign the journal's end with the KMS key of KEYDECK_SIGNING_KEY.

    From then on it shows if an entry up to there is removed or made anew. For cron. Keep what --json prints
    elsewhere: `verify --checkpoint FILE` then also tells if checkpoints were removed with the entries.
    """
    with services_of() as services:
        made = services.checkpoints.checkpoint()
    if as_json:
        print_json(made.as_json())
        return
    signature = made.signature
    click.echo(
        f"The journal is anchored up to entry {made.seq:,}, by {signature.algorithm} of {signature.key_arn}."
    )


@journal.command("break", cls=OperationCommand, operation="journal break")
@click.option("--reason", required=True, metavar="TEXT", help="What happened, as far as it is known.")
@checkpoint_option
@json_option
def break_(*, reason: str, files: tuple[Path, ...], dry_run: bool, yes: bool, as_json: bool) -> int:
    """Acknowledge that the journal is damaged or lacks signed entries, and have it begin anew.

    A checkpoint names, under its signature, the last one before, what is missing and why. What is wrong now
    counts as acknowledged from then on, and is shown by verify, doctor and in reports.
    """
    kept = [_read(file) for file in files]
    with services_of() as services:
        breaks = services.journal_breaks

        def look() -> JournalCheck:
            return services.checkpoints.verify(kept=kept)

        plan = breaks.plan_break(reason, look=look)
        if dry_run:
            print_answer(plan, _print_plan, as_json=as_json)
            return 0
        _print_plan(plan, err=True)
        consent = consent_to(plan, yes=yes, about="This begins the journal anew.")
        result = breaks.acknowledge_break(plan, consent, look=look)
    print_answer(result, _print_break, as_json=as_json)
    if result.unjournaled:
        return 3
    return 0 if result.check.whole else 1


def _print_plan(plan: BreakPlan, *, err: bool = False) -> None:
    print_line(plan.summary, err=err)
    for problem in plan.sentences:
        print_line(f"● {problem}", err=err)
    for warning in plan.warnings:
        print_line(f"▲ {warning}", err=err)


def _print_break(result: BreakResult) -> None:
    _print(result.check)
    if result.unjournaled:
        say(f"The end is not in the journal: {result.unjournaled}")


def _read(file: Path) -> Checkpoint:
    try:
        with file.open("rb") as opened:
            document: Any = json.loads(opened.read(LARGEST_CHECKPOINT))
        return checkpoint_of(document if isinstance(document, dict) else {})
    except OSError as error:
        raise RefusedError(f"{file} can't be read: {error.strerror}.") from error
    except (ValueError, RecursionError, RefusedError) as error:
        raise RefusedError(
            f"{file} is not a checkpoint of the journal.",
            remedy="One is printed by: keydeck journal checkpoint --json.",
        ) from error


def _entries(number: int) -> str:
    return f"{number:,} {'entry' if number == 1 else 'entries'}"

"""keydeck journal list, verify, export, checkpoint, break."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from pathlib import Path

import click

from console.commands.moments import time_option
from console.commands.operation_command import OperationCommand
from console.commands.output_options import json_option, rows_option
from console.commands.questions import carry_out
from console.commands.session import limit_option, services_of
from console.printed.forms import Form
from console.printed.lists import Printout, print_listing
from console.printed.output import print_answer, print_json, print_line, say, say_unjournaled, utc
from crypto_core.aws.public_keys import PublicKeys, public_key
from crypto_core.database.state.anchors.append_file import kept_in
from crypto_core.database.state.anchors.time_stamps import read_roots
from crypto_core.database.state.journal import EntryFilter
from crypto_core.database.state.journal_breaks import BreakPlan, BreakResult
from crypto_core.database.state.journal_export import export_journal, exported_journal
from crypto_core.database.state.journal_verification import JournalCheck, told_break
from crypto_core.database.state.journal_verification import check as checked
from crypto_core.guard.guarded_change import Outcome
from crypto_core.proof.forms import Anchor, Checkpoint
from crypto_core.proof.journal import RESTS_ON_NOTHING, JournalVerification
from crypto_core.values.counts import counted
from crypto_core.values.errors import RefusedError
from screens.moments import ago

LARGEST_CHECKPOINT = 65_536
"""Bytes of a file that may be a checkpoint."""


_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


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
@limit_option(100, "At most this many, the newest.")
@rows_option
def list_(
    *,
    since: datetime | None,
    until: datetime | None,
    actor: str,
    action: str,
    subject: str,
    outcome: str | None,
    limit: int,
    form: Form,
) -> None:
    """List the newest entries, oldest first."""
    which = EntryFilter(since, until, actor, action, subject, outcome or "")
    with services_of() as services:
        # One more than is shown tells whether there are more.
        entries = services.journal.entries(limit=limit + 1, which=which)
    more, entries = len(entries) > limit, entries[-limit:]
    listing = Printout(
        name="entries",
        rows=entries,
        headers=("seq", "at (UTC)", "action", "outcome", "subject", "actor"),
        cells=lambda e: (e.seq, utc(e.at), e.action, e.outcome, e.subject, e.who),
        rest=lambda: {"more": more},
    )
    print_listing(listing, form)
    if more and not form.is_document:
        say(f"The newest {limit:,} only; there are more: --limit N.")


def _print_outside(check: JournalCheck) -> None:
    stamped = [one for one in check.outside if one.stamped_at is not None]
    kept = [one for one in check.outside if one.where]
    if stamped and (at := stamped[-1].stamped_at) is not None:
        click.echo(
            f"Fixed up to entry {stamped[-1].seq:,} since {utc(at)} UTC, by a time stamp; "
            f"{counted(len(stamped), 'checkpoint')} time-stamped."
        )
    if kept:
        print_line(
            f"Fixed up to entry {kept[-1].seq:,} by {', '.join(kept[-1].where)}; "
            f"{counted(len(kept), 'checkpoint')} kept outside."
        )
    if check.stamps_unverified:
        unverified = counted(check.stamps_unverified, "time stamp")
        say(f"{unverified} not verified: name the authority's certificates.")


checkpoint_option = click.option(
    "--checkpoint",
    "files",
    multiple=True,
    type=_FILE,
    metavar="FILE",
    help="Check it by this checkpoint too, as journal checkpoint --json has printed it.",
)


@journal.command()
@checkpoint_option
@click.option(
    "--anchors",
    "anchor_files",
    multiple=True,
    type=_FILE,
    metavar="FILE",
    help="Check it by the anchors in this file too: KEYDECK_ANCHOR_FILE, or objects of the bucket.",
)
@click.option("--database-id", default="", metavar="ID", help="The id that the journal must have.")
@click.option(
    "--export",
    "export",
    type=_FILE,
    metavar="FILE",
    help="Verify this file, as journal export wrote it, without a database and without AWS.",
)
@click.option(
    "--public-key",
    "public_keys",
    multiple=True,
    type=_FILE,
    metavar="FILE",
    help="With --export: a public key of the signing key, from aws kms get-public-key.",
)
@click.option(
    "--former-key",
    "former_keys",
    multiple=True,
    type=(_FILE, click.DateTime(["%Y-%m-%dT%H:%M:%S%z"])),
    metavar="FILE TIME",
    help="With --export: that of a former key, and when it ended, as 2026-11-28T12:00:00Z.",
)
@click.option(
    "--tsa-certificates",
    type=_FILE,
    metavar="FILE",
    help="With --export: the roots by which time stamps are verified, in PEM.",
)
@json_option
def verify(
    *,
    files: tuple[Path, ...],
    anchor_files: tuple[Path, ...],
    database_id: str,
    export: Path | None,
    public_keys: tuple[Path, ...],
    former_keys: tuple[tuple[Path, datetime], ...],
    tsa_certificates: Path | None,
    as_json: bool,
) -> int:
    """Check the hash chain, and the checkpoints' signatures.

    Anchors outside of the database, where they are configured or named, are compared with it. Exit 1 if an
    entry or a checkpoint was changed, removed or reordered, or an anchor names what is not there; 3 if
    signatures could not be checked, if nothing in an export is signed, or if what you kept contradicts a
    journal whose break was acknowledged.
    """
    if export is None and (public_keys or former_keys or tsa_certificates):
        raise click.UsageError("--public-key, --former-key and --tsa-certificates are for --export.")
    given = map(kept_in, (*files, *anchor_files))
    found = list(chain.from_iterable(given))
    anchors = [one for one in found if isinstance(one, Anchor)]
    problems = [one for one in found if not isinstance(one, Anchor)]
    if export is not None:
        keys = [public_key(_content(file), str(file)) for file in public_keys]
        keys += [public_key(_content(file), str(file), end) for file, end in former_keys]
        with exported_journal(export) as journal_:
            roots = read_roots(tsa_certificates) if tsa_certificates else None
            verification = JournalVerification(
                journal_.last,
                journal_.stored,
                given=anchors,
                database_id=database_id,
                stamp_time=roots.vouched if roots else None,
            )
            verification.follow(journal_.entries)
        signer = PublicKeys(keys) if keys else None
        check = checked(verification, signer, also=[*problems, journal_.fault])
    else:
        with services_of() as services:
            check = services.checkpoints.verify(anchors=anchors, database_id=database_id, also=problems)
    print_answer(check, _print, as_json=as_json)
    if check.problems:
        return 1
    nothing = export is not None and not check.anchored
    if nothing:
        say(RESTS_ON_NOTHING)
    return 3 if check.failed or check.contradicted or nothing else 0


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
    _print_outside(check)
    if check.unchecked:
        say(f"Signatures were not checked: {check.unchecked}")
    for problem in check.contradicted:
        say(f"{problem} That was acknowledged: whether to accept it is yours to judge.")
    if check.unanchored_because:
        say(check.unanchored_because)
    if check.anchored_at is None:
        say(
            "No signed checkpoint: missing newest entries or a rebuilt chain would go unnoticed. "
            "Make a checkpoint: keydeck journal checkpoint."
        )


@journal.command("export")
@click.argument("file", type=click.Path(path_type=Path))
def export_(*, file: Path) -> None:
    """Write the whole journal to FILE, a new one, to be verified without the database and without AWS."""
    with services_of() as services:
        entries = export_journal(services.checkpoints, file)
    say(f"Written: {file}, {_entries(entries)}.")


@journal.command(cls=OperationCommand, operation="journal checkpoint")
@json_option
def checkpoint(*, as_json: bool) -> int:
    """Sign the journal's end with the KMS key of KEYDECK_SIGNING_KEY.

    From then on it shows if an entry up to there is removed or made anew. For cron. Keep what --json prints
    elsewhere: `verify --checkpoint FILE` then also tells if checkpoints were removed with the entries. Exit 3
    if it could not be anchored everywhere that is configured.
    """
    with services_of() as services:
        made, stamp, outcomes = services.checkpoints.anchored_checkpoint()
    failed = [outcome for outcome in outcomes if outcome.error]
    if as_json:
        print_json(
            made.as_json()
            | {"time_stamp": b64encode(stamp).decode() if stamp else None}
            | {"anchors": [outcome.as_json() for outcome in outcomes]}
        )
        return 3 if failed else 0
    signature = made.signature
    click.echo(
        f"The journal is anchored up to entry {made.seq:,}, by {signature.algorithm} of {signature.key_arn}."
    )
    for outcome in outcomes:
        if outcome.error:
            say(f"Not anchored in {outcome.where}: {outcome.error}")
        elif outcome.at is not None:
            print_line(f"Time-stamped at {utc(outcome.at)} UTC by {outcome.where}.")
        else:
            print_line(f"Anchored in {outcome.where}.")
    return 3 if failed else 0


@journal.command("break", cls=OperationCommand, operation="journal break")
@click.option("--reason", required=True, metavar="TEXT", help="What happened, as far as it is known.")
@checkpoint_option
@json_option
def break_(*, reason: str, files: tuple[Path, ...], dry_run: bool, yes: bool, as_json: bool) -> int:
    """Acknowledge that the journal is damaged or lacks signed entries, and have it begin anew.

    A checkpoint names, under its signature, the last one before, what is missing and why. What is wrong now
    counts as acknowledged from then on, and is shown by verify, doctor and in reports.
    """
    kept = [checkpoint for file in files for checkpoint in _read(file)]
    with services_of() as services:
        breaks = services.journal_breaks

        def look() -> JournalCheck:
            return services.checkpoints.verify(kept=kept)

        result = carry_out(
            breaks.plan_break(reason, look=look),
            _print_plan,
            partial(breaks.acknowledge_break, look=look),
            dry_run=dry_run,
            yes=yes,
            as_json=as_json,
            about="This begins the journal anew.",
        )
    if result is None:
        return 0
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
    say_unjournaled(result.unjournaled)


def _content(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(LARGEST_CHECKPOINT)
    except OSError as error:
        raise RefusedError(f"{file} can't be read: {error.strerror}.") from error


def _read(file: Path) -> Iterator[Checkpoint]:
    for found in kept_in(file):
        if not isinstance(found, Anchor):
            raise RefusedError(found, remedy="One is printed by: keydeck journal checkpoint --json.")
        yield found.checkpoint


def _entries(number: int) -> str:
    return f"{number:,} {'entry' if number == 1 else 'entries'}"

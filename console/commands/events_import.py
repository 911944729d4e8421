"""keydeck events import, receipts, vacuum: files into the local store, and old events out of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, cast

import click

from console.capabilities import further_events, not_installed
from console.commands.output_options import json_option
from console.commands.questions import confirm, yes_option
from console.commands.session import loaded
from console.event_file import open_events
from console.garbage import uncollected
from console.host.interrupts import cancelled_by_interrupt
from console.printed.output import bar, print_json, say, seldom
from console.printed.pace import Pace, pace_words
from crypto_core.lists.paging import Query
from crypto_core.trail.sources.files import import_report
from crypto_core.trail.sources.files.event_files import STDIN, FileImport
from crypto_core.trail.store.pulls import PullBook
from crypto_core.values.clean_text import clean
from crypto_core.values.counts import counted
from crypto_core.values.errors import ReadOnlyError

if TYPE_CHECKING:
    from crypto_core.trail.sources.files.copied_digests import CopyValidation, PublicKeys

_SHOWN = 50
"""Failed files that are named as text; --json names all."""
_SAID_SECONDS = 5.0
"""How often progress is printed where there is no terminal."""
_STOPPING = "Stopping; events read so far are kept. Press again to stop at once."


@click.command(name="import")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--again", is_flag=True, help="Read known, unchanged files again.")
@click.option("--validate", is_flag=True, help="Check the files against the digests beside them.")
@click.option(
    "--public-keys",
    type=click.Path(exists=True, dir_okay=False),
    metavar="FILE",
    help="With --validate: CloudTrail's keys, as list-public-keys prints them [ask AWS].",
)
@json_option
def import_(
    *, paths: tuple[str, ...], again: bool, validate: bool, public_keys: str | None, as_json: bool
) -> int:
    """Read CloudTrail's files, and all below folders, into the local store.

    In whatever shape they come: packed, zip, tar or plain; JSON, JSON lines or CSV; from CloudTrail,
    EventBridge, CloudWatch Logs, Firehose, SQS, Athena, CloudTrail Lake, Splunk, Elastic or OCSF. - reads
    standard input.
    Files that were read before and are unchanged are not read again: their events count as duplicates.
    Neither database nor AWS is needed. Exit code 1 if a file could not be read, or not all of it.

    --validate holds a trail's files against CloudTrail's digests below the same folders: which are proved,
    altered, missing, or named by no digest. The digests' signatures are checked with CloudTrail's public
    keys, which AWS gives, or FILE. Exit code 1 if something is altered or missing, or nothing is proved.
    """
    if public_keys and not validate:
        raise click.UsageError("--public-keys is for --validate.")
    for path in paths:
        if path != STDIN and not os.path.lexists(path):
            raise click.UsageError(f"There is no {clean(path, 300)}.")
    with (
        closing(open_events(loaded().settings, told=say)) as store,
        cancelled_by_interrupt(_STOPPING) as cancelled,
        _progress() as shown,
        uncollected(),
    ):
        report = FileImport(store).import_files(paths, shown, cancelled, again=again)
        validation = None
        if not report.interrupted:
            book = PullBook(store.file)
            import_report.cover_by_names(book, report.named, datetime.now(UTC))
            if validate:
                validation = _validated(paths, public_keys, cancelled)
                import_report.cover_proved(book, validation, report.named, datetime.now(UTC))
    document = report.as_json() | ({} if validation is None else {"validation": validation.as_json()})
    if as_json:
        print_json(document)
    else:
        print_report(report)
        if validation is not None:
            _print_validation(validation)
    if report.interrupted:
        say("Interrupted: events read so far are kept. Run the command again to continue.")
        return 130
    return 1 if report.failed or (validation is not None and not validation.well) else 0


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@json_option
def receipts(*, paths: tuple[str, ...], as_json: bool) -> int:
    """Read receipts of KMS calls out of files, and all below folders, into the local store.

    A receipt is what crypto_core writes down of a call: request id, operation, token, time, process. Read
    are JSON lines, gzip or plain, also behind a logger's prefix, wrapped by Docker or Kubernetes, or among
    other lines, which are passed over. Receipts join the events in whichever order the two come; what comes
    twice counts once. Receipts in keydeck.receipt come with events pull.
    Neither database nor AWS is needed. Exit code 1 if something could not be read.
    """
    from crypto_core.trail.sources.receipts import take_files

    for path in paths:
        if not os.path.lexists(path):
            raise click.UsageError(f"There is no {clean(path, 300)}.")
    with (
        closing(open_events(loaded().settings, told=say)) as store,
        cancelled_by_interrupt(_STOPPING) as cancelled,
        uncollected(),
    ):
        report = take_files(store, paths, cancelled)
    if as_json:
        print_json(report.as_json())
    else:
        click.echo(f"{counted(report.files, 'file')}: {report.summary}.")
        if report.passed_over:
            say(f"Passed over, being no receipts: {counted(report.passed_over, 'line')}.")
        for gap in report.gaps[:_SHOWN]:
            say(f"Failed: {gap}")
        if len(report.gaps) > _SHOWN:
            say(f"Failed: {counted(len(report.gaps) - _SHOWN, 'further file')}. --json names all.")
    return 1 if report.gaps else 0


@click.command()
@click.option(
    "--days", type=click.IntRange(min=0), help="Forget events older than so many days [KEYDECK_EVENTS_DAYS]."
)
@yes_option
@json_option
def vacuum(*, days: int | None, yes: bool, as_json: bool) -> int:
    """Forget old events and give their space back. What was reviewed or has a note stays.

    With 0 days nothing is forgotten, only space given back. Files whose events were forgotten are not read
    again by import, unless with --again.
    """
    settings = loaded().settings
    if settings.read_only:
        raise ReadOnlyError("Events are not forgotten while read-only is set.")
    kept = settings.events_days if days is None else days
    with closing(open_events(settings, told=say)) as store:
        further, before = further_events(store.file), datetime.now(UTC) - timedelta(days=kept)
        old = store.count(Query(f"until:{kept}d -reviewed -noted")) if kept else 0
        old += sum(events.count_before(before) for events in further.values()) if kept else 0
        if old and not yes:
            words = counted(old, "event")
            confirm(f"Forget {words} older than {counted(kept, 'day')}?", about=f"This forgets {words}.")
        gone = {name: events.forget_before(before) if kept else 0 for name, events in further.items()}
        done = store.forget_before(kept)
    if as_json:
        print_json(
            {
                "days": kept,
                "forgotten": done.forgotten,
                **{f"forgotten_of_{name}": number for name, number in gone.items()},
                "bytes_before": done.bytes_before,
                "bytes_after": done.bytes_after,
                "bytes_given_back": max(done.bytes_before - done.bytes_after, 0),
            }
        )
        return 0
    age = f" older than {counted(kept, 'day')}" if kept else ""
    click.echo(f"Forgotten: {counted(done.forgotten + sum(gone.values()), 'event')}{age}.")
    if sentence := not_installed("provider", "keydeck events"):
        say(f"Providers' events are left as they are: {sentence}")
    click.echo(f"The store took {_size(done.bytes_before)} and takes {_size(done.bytes_after)}.")
    return 0


def _validated(paths: tuple[str, ...], public_keys: str | None, cancelled: Event) -> CopyValidation:
    """Validate the files that are named or below folders. CloudTrail's keys are a file's, or AWS's."""
    from console.commands.mfa_prompt import code_from_terminal
    from console.event_services import cloudtrail_keys_of
    from crypto_core.trail.sources.digest_files import keys_in_file
    from crypto_core.trail.sources.files.copied_digests import validate_copies

    if public_keys:
        found = keys_in_file(Path(public_keys))
        keys = cast("PublicKeys", lambda _region, _since, _until: found)
    else:
        keys = cloudtrail_keys_of(loaded().settings, code_from_terminal)
    return validate_copies([path for path in paths if path != STDIN], keys, cancelled)


def _print_validation(validation: CopyValidation) -> None:
    click.echo(validation.summary)
    for note in validation.notes[:_SHOWN]:
        say(note)
    for problem in validation.problems[:_SHOWN]:
        say(f"Validation: {problem}")
    if len(validation.problems) > _SHOWN:
        further = counted(len(validation.problems) - _SHOWN, "further problem")
        say(f"Validation: {further}. --json names more.")


def print_report(report: import_report.ImportReport) -> None:
    click.echo(
        f"{counted(report.files, 'file')}: {counted(report.records, 'event')}, {report.new:,} new, "
        f"{report.duplicates:,} known already, {report.kms:,} of KMS"
    )
    if report.unchanged:
        say(
            f"Not read again, being unchanged: {counted(report.unchanged, 'file')}. To read all: --again "
            "(events that were forgotten since come back)."
        )
    for number, noun in (
        (report.digests, "digest file"),
        (report.insights, "file of CloudTrail Insights"),
        (report.others, "hidden or other file"),
    ):
        if number:
            say(f"Left out: {counted(number, noun)}.")
    for failed in report.failed[:_SHOWN]:
        say(f"Failed: {failed.file}: {failed.reason}")
    if len(report.failed) > _SHOWN:
        say(f"Failed: {counted(len(report.failed) - _SHOWN, 'further file')}. --json names all.")


def _size(number: int) -> str:
    return f"{number / 2**20:,.1f} MiB"


@contextmanager
def _progress() -> Iterator[Callable[[import_report.ImportProgress], None]]:
    """Give what shows progress on stderr: a bar on a terminal, else now and then a line."""
    if not sys.stderr.isatty():
        yield seldom(
            _SAID_SECONDS,
            lambda now: f"import: {now.files:,} of {now.of:,} files, {counted(now.records, 'event')}",
        )
        return
    pace = Pace()

    def words(progress: import_report.ImportProgress) -> str:
        files = pace_words(progress.files, progress.of, pace.per_second(progress.files), "files")
        return f"{counted(progress.records, 'event')}{f', {files}' if files else ''}"

    with bar("import") as draw:
        yield lambda progress: draw(progress.files, progress.of, words(progress))

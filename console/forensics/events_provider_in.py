"""keydeck events provider import, pull, hash: what goes into the local store."""

from __future__ import annotations

import os
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta

import click

from console.commands.incident_steps import secret_from
from console.commands.moments import time_option
from console.commands.output_options import json_option
from console.commands.questions import confirm, yes_option
from console.commands.session import loaded, services_of
from console.completion.offers import token_references
from console.event_file import open_events
from console.forensics.services import ForensicsServices
from console.host.interrupts import cancelled_by_interrupt
from console.printed.output import print_json, say
from console.settings import Settings
from crypto_core.forensics.provider_logs.apis import LOG_APIS
from crypto_core.forensics.provider_logs.importer import STDIN, LogFiles, LogImport
from crypto_core.forensics.provider_logs.puller import LogPull, LogPuller
from crypto_core.forensics.provider_logs.store import ProviderLog
from crypto_core.values.clean_text import clean
from crypto_core.values.counts import counted
from crypto_core.values.errors import SettingsError
from crypto_core.values.references import TokenRef, parse_reference
from crypto_core.values.secret import Secret

_STOPPING = "Stopping; events read so far are kept. Press again to stop at once."
_DAY = timedelta(days=1)
_SHOWN = 50
"""Damaged lines that are named as text; --json names more."""
_SAID_EVERY = 50_000
"""Events between two lines of progress."""


@click.command("import")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@time_option("--since", "The files have every event from here on: they are your whole export.")
@time_option("--until", "And up to here.")
@json_option
def import_(*, paths: tuple[str, ...], since: datetime | None, until: datetime | None, as_json: bool) -> int:
    """Read exported audit logs of GitHub, Slack and Atlassian, and all below folders.

    What a file holds decides: JSON, JSON lines, GitHub's export of Git events, or answers of the providers'
    APIs; plain, gzip or Zstandard. - reads standard input. Each event counts once, however often it comes,
    and in any order. Neither database nor AWS is needed. Exit code 1 if a line or file could not be read.

    A file doesn't tell what it leaves out. If you exported a whole period, name it with --since and --until:
    that time then counts as covered, on your word.
    """
    for path in paths:
        if path != STDIN and not os.path.lexists(path):
            raise click.UsageError(f"There is no {clean(path, 300)}.")
    if (since is None) is not (until is None):
        raise click.UsageError("--since and --until go together: they say what the files cover.")
    whole = (since, until) if since is not None and until is not None else None
    if whole is not None and whole[0] >= whole[1]:
        raise click.UsageError("--since is not before --until.")
    with (
        closing(open_events(loaded().settings, told=say)) as store,
        cancelled_by_interrupt(_STOPPING) as cancelled,
    ):
        files = LogFiles(ProviderLog(store.file))
        report = files.import_files(paths, whole=whole, progress=_ImportProgress(), cancelled=cancelled)
    if as_json:
        print_json(report.as_json())
    else:
        _print_import(report, stated=whole is not None)
    if report.interrupted:
        say("Interrupted: events read so far are kept. Run the command again to continue.")
        return 130
    return 1 if report.damaged_number else 0


@click.command()
@click.argument("provider", type=click.Choice(sorted(LOG_APIS)))
@click.option("--org", "organisation", default="", metavar="NAME", help="The organisation's name or id.")
@time_option("--since", "From when on: 2h, 7d, 2026-11-24 [24h].")
@time_option("--until", "Up to when [now].")
@click.option("--anew", is_flag=True, help="Don't continue the pull that did not finish.")
@click.option(
    "--token-file",
    metavar="FILE",
    help="The token that reads the log, in a file that only you may read; - is standard input, which takes a "
    "pipe [the setting, else a prompt].",
)
@json_option
def pull(
    *,
    provider: str,
    organisation: str,
    since: datetime | None,
    until: datetime | None,
    anew: bool,
    token_file: str | None,
    as_json: bool,
) -> int:
    """Fetch a window of a provider's audit log by its API.

    The token that reads it comes from KEYDECK_GITHUB_AUDIT_TOKEN, KEYDECK_SLACK_AUDIT_TOKEN or
    KEYDECK_ATLASSIAN_AUDIT_TOKEN, from a file, or is asked for; it is sent to the provider's own host alone,
    and kept nowhere. A pull that stops keeps its place: the next one goes on there, over the same window.
    Exit code 1 if something of the window is missing; 130 if interrupted.
    """
    settings = loaded().settings
    token = _token(settings, provider, token_file)
    with (
        token,
        closing(open_events(settings, told=say)) as store,
        cancelled_by_interrupt(_STOPPING) as cancelled,
    ):
        report = LogPuller(ProviderLog(store.file), settings.endpoints).pull(
            provider,
            organisation,
            token,
            since=since or datetime.now(UTC) - _DAY,
            until=until,
            anew=anew,
            progress=_ImportProgress(),
            cancelled=cancelled,
        )
    if as_json:
        print_json(report.as_json())
    else:
        _print_pull(report)
    if report.interrupted:
        return 130
    return 0 if report.finished and not report.damaged else 1


@click.command("hash")
@click.argument("references", nargs=-1, required=True, metavar="REF...", shell_complete=token_references)
@yes_option
@json_option
def hash_(*, references: tuple[str, ...], yes: bool, as_json: bool) -> int:
    """Open GitHub tokens and note their SHA-256, by which GitHub's audit log names them.

    From then on `keydeck events token` shows as facts what was done with them, also once they are replaced.
    The hashes stay in the local store; a token can't be told from its hash. Exit code 1 if one of the tokens
    is none of GitHub's, or doesn't open.
    """
    parsed = [parse_reference(reference) for reference in references]
    with services_of() as services:
        catalogue = services.catalogue()
        refs = tuple(
            ref
            for one in parsed
            for ref in ((one,) if isinstance(one, TokenRef) else catalogue.references(one))
        )
        if not yes:
            tokens = counted(len(refs), "token")
            confirm(f"Open {tokens} to note their hashes?", about=f"This opens {tokens}.")
        noted = services.of(ForensicsServices).token_hashing.note(refs, "events provider hash")
    if as_json:
        print_json(noted.as_json())
    else:
        click.echo(f"{counted(len(noted.refs), 'hash')} known, {noted.new:,} new")
        for ref in noted.without:
            say(f"{ref}: none of GitHub's, or it doesn't open")
    return 1 if noted.without else 0


def _token(settings: Settings, provider: str, path: str | None) -> Secret:
    """The token that reads a log, from a file, the settings or a prompt. Raises SettingsError."""
    variable = LOG_APIS[provider].variable
    if path is not None:
        return secret_from(path)
    if configured := settings.audit_token(provider):
        return Secret.of(configured)
    if not sys.stdin.isatty():
        raise SettingsError(
            f"No token reads {provider}'s audit log.",
            remedy=f"Set {variable}, or name a file with --token-file. It needs {LOG_APIS[provider].needs}.",
        )
    return Secret.of(click.prompt(f"The token that reads {provider}'s audit log", hide_input=True, err=True))


def _print_import(report: LogImport, *, stated: bool) -> None:
    click.echo(
        f"{counted(report.files, 'file')}: {counted(report.events, 'event')}, {report.new:,} new, "
        f"{report.duplicates:,} known already"
    )
    for name, number in report.by_provider.items():
        click.echo(f"{name}: {counted(number, 'event')}")
    if report.first is not None and report.last is not None:
        click.echo(f"from {report.first:%Y-%m-%d %H:%M:%S} to {report.last:%Y-%m-%d %H:%M:%S} UTC")
    for damaged in report.damaged[:_SHOWN]:
        say(f"Not read: {damaged}")
    if report.damaged_number > _SHOWN:
        say(f"Not read: {counted(report.damaged_number - _SHOWN, 'further line')}. --json names more.")
    if stated and report.damaged_number:
        say("Not counted as covered: not everything in the files could be read.")


def _print_pull(report: LogPull) -> None:
    click.echo(
        f"{counted(report.events, 'event')} in {counted(report.pages, 'page')}, {report.new:,} new; "
        f"{report.since:%Y-%m-%d %H:%M} to {report.until:%Y-%m-%d %H:%M} UTC"
        f"{', continued' if report.resumed else ''}"
    )
    if report.damaged:
        say(f"Not read: {counted(report.damaged, 'record')} that are no events; the time isn't covered.")
    if not report.finished:
        say(f"Stopped: {report.reason}. What came is kept. Run the command again to continue.")


class _ImportProgress:
    def __init__(self) -> None:
        self._said = 0

    def __call__(self, number: int) -> None:
        if number - self._said >= _SAID_EVERY:
            self._said = number
            say(f"{counted(number, 'event')} so far")

"""keydeck incident report, verify-report: what an incident leaves behind, and whether it is still that."""

from __future__ import annotations

from pathlib import Path

import click

from console.commands.incident_doing import number
from console.commands.output_options import json_option
from console.commands.session import services_of
from console.printed.printing import print_answer, print_line, say
from crypto_core.errors import SettingsError
from crypto_core.incidents.report.signing import ReportCheck
from screens.incidents.work import ENDINGS, incident_work, write_report

LARGEST_REPORT = 256 * 1024 * 1024
"""Bytes of a report that is verified."""


@click.command()
@number
@click.option(
    "--format",
    "form",
    type=click.Choice(list(ENDINGS.values())),
    help="The report's format [markdown, or what the name of --output ends in].",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A new file, readable by its owner alone [standard output].",
)
@click.option(
    "--all",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIRECTORY",
    help="One document, signed once, in every form: INC-N.md, INC-N.html and INC-N.json.",
)
def report(*, incident: int, form: str | None, output: Path | None, folder: Path | None) -> int:
    """Print the report: timeline, scope, actions, evidence with hashes, census, times, open points."""
    from crypto_core.lists.new_files import write_new

    if folder is not None and (form is not None or output is not None):
        raise click.UsageError("--all writes every form into its folder: leave --format and --output out.")
    with services_of() as services:
        work = incident_work(services)
        if folder is not None:
            written = write_report(work, incident, folder / work.show(incident).incident.name)
        elif output is not None and output.suffix and form is None:
            written = write_report(work, incident, output)
        else:
            text = work.report(incident, form or "markdown")
            if output is None:
                click.echo(text)
                return 0
            write_new(written := {output: text})
    for path in written:
        say(f"Written: {path}")
    return 0


@click.command("verify-report")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@json_option
def verify_report(*, file: Path, as_json: bool) -> int:
    """Check FILE, a report exported as JSON: is it what the key of KEYDECK_SIGNING_KEY signed?

    Exit 0 if it is, 1 if it was changed, is signed by another key, is of another database, or is not signed.
    """
    text = _read(file)
    with services_of() as services:
        check = incident_work(services).verify_report(text)
    print_answer(check, _print, as_json=as_json)
    return 0 if check.proved else 1


def _print(check: ReportCheck) -> None:
    if check.proved:
        click.echo(f"{check.name}, {check.state}, made at {check.made_at}: this is the signed content.")
        click.echo(f"signed by  {check.key_arn} ({check.algorithm})")
        if check.signed_by:
            print_line(f"journaled  {check.signed_by}")
        click.echo(f"sha256     {check.sha256}")
        click.echo(f"database   {check.database_id or 'not named: an earlier version made it'}")
        return
    print_line(check.wrong)
    if check.key_arn:
        say(f"It names {check.key_arn} as its key.")


def _read(file: Path) -> str:
    """The text of a file, its line ends as they are. Raises SettingsError."""
    try:
        with file.open("rb") as opened:
            content = opened.read(LARGEST_REPORT + 1)
    except OSError as error:
        raise SettingsError(f"{file} can't be read: {error.strerror}.") from error
    if len(content) > LARGEST_REPORT:
        raise SettingsError(f"{file} is larger than {LARGEST_REPORT:,} bytes: not a report.")
    # What is no UTF-8 was not exported; verification then finds it changed.
    return content.decode(errors="replace")

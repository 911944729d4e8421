"""keydeck incident: guided response to a compromise, a loss, or a drill, with evidence and report."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from console.commands import incident_scope
from console.commands.incident_people import assign, follow_up, handover
from console.commands.incident_scope import completed_scope
from console.commands.incident_steps import accept_lost, check, next_, number, reopen, skip
from console.commands.moments import time_option
from console.commands.operation_command import OperationCommand
from console.commands.output_options import json_option, rows_option
from console.commands.session import services_of, trust_option
from console.completion.offers import key_names, runbook_ids, token_references
from console.printed.forms import Form
from console.printed.incident_words import (
    IncidentDocument,
    ShownIncident,
    evidence_listing,
    incident_listing,
    print_incident,
    runbook_listing,
)
from console.printed.lists import print_listing
from console.printed.output import print_answer, print_json, print_line, say
from crypto_core.incidents.model import FoundScope, IncidentScope, IncidentState
from crypto_core.incidents.report.signature import ReportCheck
from crypto_core.incidents.scope_check import organisation_filter
from crypto_core.keys.policy.least_privilege import is_principal
from crypto_core.values.errors import EvidenceError, SettingsError
from crypto_core.values.key_names import is_key_arn
from crypto_core.values.secret import Secret
from screens.incidents.work import ENDINGS, write_report

if TYPE_CHECKING:
    from crypto_core.incidents.keys.accepted_losses import Acceptance
    from crypto_core.incidents.service import IncidentService

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
        work = services.services.incidents
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
        check = services.services.incidents.verify_report(text)
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


@click.group()
def incident() -> None:
    """Incidents: a runbook worked through step by step, with evidence, proof and report.

    Where one stands is in the database: another operator, on another host, can go on with it.
    """


for _command in (
    *(next_, check, accept_lost, skip, reopen),
    *(assign, handover, follow_up, report, verify_report),
):
    incident.add_command(_command)


@incident.command()
@rows_option
def runbooks(*, form: Form) -> int:
    """List the runbooks: those built in, and the team's own. Exit 1 if one can't be read."""
    with services_of() as services:
        work = services.services.incidents
        found, troubles = work.runbooks(), work.runbook_troubles()
    print_listing(runbook_listing(found, troubles), form)
    for trouble in troubles:
        say(trouble)
    return 1 if troubles else 0


@incident.command(cls=OperationCommand, operation="incident declare")
@click.argument("runbook", shell_complete=runbook_ids)
@click.option(
    "--key", shell_complete=key_names, metavar="KEY", help="The KMS key that it is about: ARN, id or alias."
)
@click.option(
    "--token",
    "references",
    multiple=True,
    shell_complete=token_references,
    metavar="REF",
    help="A token that it is about.",
)
@click.option("--filter", "expression", default="", metavar="EXPR", help="The tokens that it is about.")
@incident_scope.found_options
@click.option("--database", default="", metavar="NAME", help="The restored database, as in the settings.")
@time_option("--since", "When the compromise may have begun.")
@click.option("--suspect", default="", metavar="ARN", help="The principal whose doing led to it.")
@click.option("--event", "event_id", default="", metavar="ID", help="The event that led to it.")
@click.option("--finding", default="", metavar="RULE", help="The finding that led to it, by its rule.")
@click.option("--title", default="", metavar="TEXT", help="Its title [the runbook's title].")
@trust_option
@json_option
def start(
    *,
    runbook: str,
    key: str | None,
    references: tuple[str, ...],
    expression: str,
    leaked: str | None,
    hashes: tuple[str, ...],
    everywhere: bool,
    organisation: str,
    opener: str,
    database: str,
    since: datetime | None,
    suspect: str,
    event_id: str,
    finding: str,
    title: str,
    trust: tuple[str, ...],
    as_json: bool,
) -> int:
    """Declare an incident that is worked through by RUNBOOK; prints its number.

    With --event or --finding it is about their key or token, since their first time, and whom they name is
    its suspect, as far as no other option says so. A key that neither names is the one that these events, or
    the suspect, used: one of several has to be named with --key.

    Exit 1 if a token was found in no row; where none was, no incident is declared.
    """
    if sum(map(bool, (references, expression, leaked is not None or hashes, organisation, opener))) > 1:
        raise click.UsageError("Name the tokens in one way.")
    leak = incident_scope.given_leak(leaked, hashes)
    with leak if isinstance(leak, Secret) else nullcontext(), services_of(trust=trust) as services:
        work = services.services.incidents
        arn = key or ""
        if arn and not is_key_arn(arn):
            arn = services.services.keys.show(arn).key_arn
        found = FoundScope(references, "", ())
        if leak is not None or opener:
            found = incident_scope.found_tokens(services, leak, opener, since, everywhere=everywhere)
        elif organisation:
            expression = organisation_filter(services.inventory, organisation)
        if (leak is not None or opener) and not found.references:
            say("No incident was declared.")
            if as_json:
                print_json({"incident": None, **found.document})
            return 1
        suspect = suspect or (opener if is_principal(opener) else "")
        given = IncidentScope(
            arn, found.references, expression, database, since, "the command line", suspect, found.found_by
        )
        scope = completed_scope(services, runbook, given, event=event_id, finding=finding)
        declared = work.declare(runbook, scope, title)
        view = work.show(declared)
    if as_json:
        print_json(view.as_json() | found.document)
    else:
        print_incident(view)
        say(f"Continue with: keydeck incident next {declared}")
    return 1 if found.missing else 0


@incident.command("list")
@click.option("--open", "open_only", is_flag=True, help="Only those that are not closed.")
@rows_option
def list_(*, open_only: bool, form: Form) -> int:
    """List incidents, open ones first."""
    with services_of() as services:
        work = services.services.incidents
        found = work.incidents(closed=not open_only)
        due = work.drill_due()
    if found or form is not Form.TABLE:
        print_listing(incident_listing(found, due), form)
    else:
        say("No incidents. One is declared with: keydeck incident start RUNBOOK")
    if due:
        say(due)
    return 0


@incident.command()
@number
@json_option
def show(*, incident: int, as_json: bool) -> int:
    """Show where an incident stands. Exit 0 once it is closed, else 1."""
    with services_of() as services:
        work = services.services.incidents
        view, suspects = work.show(incident), work.suspects(incident)
        accepted, untold = _accepted(work, incident)
        callers = work.callers(incident)
    if as_json:
        shown = ShownIncident(IncidentDocument(view), suspects, tuple(accepted), untold, callers)
        print_json(shown.as_json())
    else:
        print_incident(view, suspects, accepted)
    if untold:
        say(f"What was accepted as unrecoverable is not known: {untold}")
    return 0 if view.incident.state is IncidentState.CLOSED else 1


def _accepted(work: IncidentService, incident: int) -> tuple[tuple[Acceptance, ...], str]:
    try:
        return work.accepted_losses(incident), ""
    except EvidenceError as error:
        return (), str(error)


@incident.command(cls=OperationCommand, operation="incident note")
@number
@click.argument("text")
@click.option("--step", default="", metavar="STEP", help="The step that it is about.")
@json_option
def note(*, incident: int, text: str, step: str, as_json: bool) -> int:
    """Write a note into the timeline. No tokens: notes are in the report."""
    with services_of() as services:
        work = services.services.incidents
        work.note(incident, text, step)
        view = work.show(incident) if as_json else None
    if view is not None:
        print_json(IncidentDocument(view).as_json())
    return 0


@incident.command()
@number
@click.argument("piece", type=click.IntRange(min=1), metavar="[ID]", required=False)
@rows_option
def evidence(*, incident: int, piece: int | None, form: Form) -> int:
    """List the evidence of an incident, or print one piece, whose hash is compared before."""
    with services_of() as services:
        work = services.services.incidents
        if piece is not None:
            click.echo(work.evidence(incident, piece))
            return 0
        found = work.show(incident).evidence
    print_listing(evidence_listing(found), form)
    return 0


@incident.command(cls=OperationCommand, operation="incident close")
@number
@click.option("--outcome", required=True, metavar="TEXT", help="The outcome, for the report.")
@json_option
def close(*, incident: int, outcome: str, as_json: bool) -> int:
    """Close an incident of which every step has ended."""
    with services_of() as services:
        view = services.services.incidents.close(incident, outcome)
    if as_json:
        print_json(view.as_json())
    else:
        say(f"{view.incident.name} is closed. Its report: keydeck incident report {incident}")
    return 0

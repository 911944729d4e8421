"""keydeck incident assign, handover, follow-up: who does what in an incident, and after it."""

from __future__ import annotations

from datetime import UTC, date, datetime

import click

from console.commands.incident_steps import number
from console.commands.operation_command import OperationCommand
from console.commands.output_options import json_option, rows_option
from console.commands.session import services_of
from console.printed.forms import Form
from console.printed.incident_words import follow_up_listing, follow_up_text
from console.printed.lists import print_listing
from console.printed.output import print_json, print_line, say
from crypto_core.incidents.people import IncidentRole

NOBODY = "nobody"


@click.command(cls=OperationCommand, operation="incident assign")
@number
@click.argument("role", type=click.Choice([role.value for role in IncidentRole]))
@click.argument("who", required=False, metavar="[WHO]")
@click.option("--note", default="", metavar="TEXT", help="What the next one has to know, in your words.")
@json_option
def assign(*, incident: int, role: str, who: str | None, note: str, as_json: bool) -> int:
    """Give a role in an incident to WHO: to you where nobody is named, to nobody with "nobody".

    Roles are lead, operations and communications. Who takes the lead is shown how the incident stands, and
    where it changes hands the timeline keeps that.
    """
    given = IncidentRole(role)
    person = "" if who == NOBODY else who
    with services_of() as services:
        work = services.services.incidents
        stood = work.handover(incident) if given is IncidentRole.LEAD else ()
        view = work.assign(incident, given, person, note)
    if as_json:
        print_json({"incident": incident, "roles": [one.as_json() for one in view.people.roles]})
        return 0
    for line in stood:
        print_line(line)
    say(f"{role.capitalize()} of {view.incident.name}: {view.people.who(given) or NOBODY}.")
    return 0


@click.command()
@number
@json_option
def handover(*, incident: int, as_json: bool) -> int:
    """Print what whoever takes an incident over has to know: how it stands, what runs, what is left."""
    with services_of() as services:
        lines = services.services.incidents.handover(incident)
    if as_json:
        print_json({"incident": incident, "handover": list(lines)})
    for line in lines if not as_json else ():
        print_line(line)
    return 0


@click.group("follow-up")
def follow_up() -> None:
    """What is to be done after an incident, by whom and until when; the report has it too."""


@follow_up.command("add", cls=OperationCommand, operation="incident follow-up add")
@number
@click.argument("text")
@click.option("--owner", default="", metavar="WHO", help="Who does it.")
@click.option("--due", type=click.DateTime(["%Y-%m-%d"]), metavar="DATE", help="Until when, as 2026-12-31.")
@json_option
def add(*, incident: int, text: str, owner: str, due: datetime | None, as_json: bool) -> int:
    """Keep what is to be done, also after the incident was closed. No tokens: it is in the report."""
    with services_of() as services:
        kept = services.services.incidents.follow_up(incident, text, owner, due.date() if due else None)
    if as_json:
        print_json(kept.as_json())
    else:
        say(f"Follow-up {kept.number}: {follow_up_text(kept, _today())}.")
    return 0


@follow_up.command("list")
@click.argument("incident", type=click.IntRange(min=1), required=False, metavar="[INCIDENT]")
@click.option("--open", "open_only", is_flag=True, help="Only those that are not done.")
@rows_option
def list_(*, incident: int | None, open_only: bool, form: Form) -> int:
    """List the follow-ups of one incident, or of all. Exit 1 if one is overdue."""
    with services_of() as services:
        work = services.services.incidents
        views = work.incidents() if incident is None else (work.show(incident),)
    found = [
        (view.incident, one)
        for view in views
        for one in view.people.follow_ups
        if one.ended_at is None or not open_only
    ]
    if found or form is not Form.TABLE:
        print_listing(follow_up_listing(found, _today()), form)
    else:
        say("No follow-ups. One is kept with: keydeck incident follow-up add INCIDENT TEXT")
    return 1 if any(one.overdue(_today()) for _, one in found) else 0


@follow_up.command("done", cls=OperationCommand, operation="incident follow-up done")
@number
@click.argument("follow_up", type=click.IntRange(min=1), metavar="NUMBER")
@click.option("--outcome", required=True, metavar="TEXT", help="What came of it.")
@json_option
def done(*, incident: int, follow_up: int, outcome: str, as_json: bool) -> int:
    """Note that a follow-up is done, and what came of it."""
    with services_of() as services:
        ended = services.services.incidents.end_follow_up(incident, follow_up, outcome)
    if as_json:
        print_json(ended.as_json())
    else:
        say(f"Follow-up {ended.number}: {follow_up_text(ended, _today())}.")
    return 0


def _today() -> date:
    return datetime.now(UTC).date()

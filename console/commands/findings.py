"""keydeck findings, and which of them are suppressed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from importlib import metadata
from typing import Any

import click

from console import event_services
from console.commands.estate_options import estate_option
from console.commands.mfa_prompt import code_from_terminal
from console.commands.moments import time_option
from console.commands.operation_command import OperationCommand
from console.commands.output_options import rows_option
from console.commands.session import loaded, services_of
from console.event_file import open_events
from console.printed.finding_document import FindingDocument
from console.printed.forms import Form
from console.printed.lists import Printout, print_listing
from console.printed.output import marked, print_gaps, say
from console.whole_posture import examine, with_events
from crypto_core.findings.finding import Finding, Gap, Severity
from crypto_core.findings.registry import rules_about
from crypto_core.keys.posture.examination import Posture
from crypto_core.lists.coverage import Coverage
from crypto_core.trail.event import TrailEvent
from crypto_core.trail.rules.ocsf import ocsf_finding
from crypto_core.trail.rules.service import TrailRules
from crypto_core.trail.rules.sigma import export_sigma
from crypto_core.trail.store import EventStore
from crypto_core.trail.store.suppressions import MOST_DAYS, Suppressed
from crypto_core.values.errors import EventVanishedError
from screens.findings.words import finding_facts
from screens.identities import noted_by

_NO_DATABASE = "Tokens, keys, access and trails are not examined: no database is configured (DATABASE_URL)"
SHOWN_EVENTS = 3
"""Events of a finding that are named as text; --json names all."""
EventsOf = Callable[[Finding], Sequence[TrailEvent]]


@click.group(invoke_without_command=True)
@estate_option
@rows_option
@time_option(
    "--since", "Examine CloudTrail's events from then on: a date, or 90s, 30m, 24h, 7d, 2w. By default 24h."
)
@time_option("--until", "Up to then; by default now.")
@click.option(
    "--new",
    is_flag=True,
    help="Only what events show that have come to the store since the last --new, whatever their date, each "
    "finding once.",
)
@click.option("--suppressed", "hidden", is_flag=True, help="List the suppressed findings too.")
@click.option("--ocsf", is_flag=True, help="Print OCSF findings (classes 2004 and 2003), one JSON line each.")
@click.option(
    "--sigma", is_flag=True, help="Print rules about events as Sigma rules for the configured keys."
)
def findings(
    *,
    form: Form,
    since: datetime | None,
    until: datetime | None,
    new: bool,
    hidden: bool,
    ocsf: bool,
    sigma: bool,
) -> int:
    """List what is wrong with keys, access and trails, and what CloudTrail shows, the worst first.

    Exit code 1 if there is anything; 3 if there is nothing, but what could not be examined may hide a
    finding of severity high or worse; else 0. Suppressed findings are counted, and don't count. Without a
    database or AWS what the stored events show is listed all the same.
    """
    if click.get_current_context().invoked_subcommand is not None:
        return 0
    if sum((form is not Form.TABLE, ocsf, sigma)) > 1:
        raise click.UsageError("One of --output, --ocsf and --sigma.")
    if new and (since or until or sigma):
        raise click.UsageError("--new takes no window: it goes on from the last --new.")
    printed = _Printed(form, ocsf=ocsf, hidden=hidden)
    if new:
        with _stored_events() as rules:
            found = rules.examine_arrivals()
            posture = Posture(rules.clock(), found.examined.findings, found.examined.gaps)
            if found.first:
                say("The first --new: the last day. What is older: keydeck findings --since DATE.")
            code = _print_all(posture, found.examined.suppressed, partial(_events, rules.store), printed)
            rules.note_told(found)
            return code
    if loaded().settings.database_url is None:
        with _stored_events() as rules:
            if sigma:
                return _print_sigma(rules)
            none = Posture(rules.clock(), (), (Gap(_NO_DATABASE, Severity.CRITICAL),))
            return _print_all(*with_events(none, rules, since, until), partial(_events, rules.store), printed)
    with services_of() as services:
        rules = services.services.trail_rules
        if sigma:
            return _print_sigma(rules)
        return _print_all(*examine(services, since, until), partial(_events, rules.store), printed)


@dataclass(frozen=True, slots=True)
class _Printed:
    """How findings are printed; with `hidden` the suppressed ones too."""

    form: Form
    ocsf: bool
    hidden: bool


def _print_all(
    posture: Posture, suppressed: Sequence[Suppressed], events_of: EventsOf, printed: _Printed
) -> int:
    listed = suppressed if printed.hidden else ()
    if printed.ocsf:
        _print_ocsf(events_of, posture, listed)
    else:
        print_listing(_listing(posture, suppressed, hidden=printed.hidden), printed.form)
    print_gaps(posture.coverage.reasons)
    if suppressed and not (printed.hidden or printed.form.is_document):
        say(f"Suppressed: {len(suppressed):,}. keydeck findings --suppressed lists them.")
    if posture.findings:
        return 1
    return 0 if posture.examined else 3


@contextmanager
def _stored_events() -> Iterator[TrailRules]:
    """Give the rules about the stored events: no database, and KMS only for the names of keys."""
    settings = loaded().settings
    keys = event_services.key_inventory_of(settings, code_from_terminal)
    events = open_events(settings, partial(event_services.aliases_where_known, keys), told=say)
    with closing(events):
        made = partial(event_services.rules_about_events, settings, events, keys, settings.trusted_keys)
        if settings.database_url is None:
            yield made()
            return
        with services_of() as services:
            yield made(services.tripwire_list.decoys)


def _listing(posture: Posture, suppressed: Sequence[Suppressed], *, hidden: bool) -> Printout[Finding]:
    coverage: Coverage = posture.coverage
    document: dict[str, Any] = {"coverage": coverage.as_json(), "suppressed": len(suppressed)}
    if hidden:
        document["suppressed_findings"] = [
            one.as_json() | {"finding": FindingDocument(one.finding).as_json()} for one in suppressed
        ]
    return Printout(
        name="findings",
        schema="finding",
        rows=posture.findings,
        record=lambda one: FindingDocument(one).as_json(),
        headers=("severity", "rule", "title", "subject"),
        text=lambda found: _text(tuple(found), suppressed if hidden else ()),
        rest=lambda: document,
    )


def _text(found: Sequence[Finding], suppressed: Sequence[Suppressed]) -> Iterator[str]:
    yield from finding_lines(found)
    if not found:
        yield "No findings."
    for one in suppressed:
        yield from _suppressed_lines(one)


def _print_ocsf(events_of: EventsOf, posture: Posture, suppressed: Iterable[Suppressed]) -> None:
    version = metadata.version("keydeck")
    told = [(finding, "") for finding in posture.findings]
    told += [(one.finding, f"{one.by.reason} ({one.by.by})") for one in suppressed]
    for finding, reason in told:
        document = ocsf_finding(
            finding, posture.taken_at, events_of(finding), product_version=version, suppressed=reason
        )
        click.echo(json.dumps(document, ensure_ascii=True))


def _print_sigma(rules: TrailRules) -> int:
    """Print a YAML document for each rule that Sigma can state; the others are named on stderr."""
    keys, gaps = rules.configured_keys()
    export = export_sigma(keys)
    for document in export.documents:
        click.echo(f"---\n{json.dumps(document, indent=2, ensure_ascii=True)}")
    for id_, reason in export.left_out.items():
        say(f"Left out: {id_}: {reason}")
    print_gaps(gap.reason for gap in gaps)
    return 0


def _events(store: EventStore, finding: Finding) -> list[TrailEvent]:
    """The events that a finding names, as far as they are still in the store."""
    events: list[TrailEvent] = []
    for event_id in finding.events:
        try:
            events.append(store.event(event_id).event)
        except EventVanishedError:
            continue
    return events


def finding_lines(found: Sequence[Finding]) -> Iterator[str]:
    for finding in found:
        yield marked(finding.severity, finding.title)
        for name, text in finding_facts(finding, SHOWN_EVENTS):
            yield f"             {name:8}  {text}"
    if found:
        yield ""


def _suppressed_lines(one: Suppressed) -> Iterator[str]:
    finding, by = one.finding, one.by
    yield f"- suppressed {finding.severity.value:8} {finding.title}"
    for name, text in (
        ("about", finding.subject),
        ("rule", finding.rule),
        ("reason", f"{by.reason} (by {by.by}, until {by.until:%Y-%m-%d})"),
    ):
        yield f"             {name:8}  {text}"


@findings.command()
@rows_option
def rules(*, form: Form) -> None:
    """List every rule: how bad its findings are at worst, and what they are about."""
    loaded()
    listing = Printout(
        name="rules",
        rows=sorted(rules_about(), key=lambda rule: (rule.severity.rank, rule.id)),
        headers=("rule", "severity", "about"),
        cells=lambda r: (r.id, r.severity.value, f"{r.title}{': ' if r.about else ''}{r.about}"),
    )
    print_listing(listing, form)


@findings.command(cls=OperationCommand, operation="findings suppress")
@click.argument("rule")
@click.option(
    "--subject", default="*", metavar="SUBJECT", help="Only for this subject; * for any characters."
)
@click.option("--reason", required=True, help="Why this is expected.")
@click.option("--days", required=True, type=click.IntRange(1, MOST_DAYS), help="For how long.")
def suppress(rule: str, *, subject: str, reason: str, days: int) -> None:
    """Don't tell a rule's findings for a while. They are counted, and --suppressed lists them."""
    with services_of() as services:
        by = noted_by(services.services.surroundings())
        made = services.services.trail_rules.suppress(rule, subject, reason, days, by)
    click.echo(f"Suppression {made.number}: {made.rule} about {made.subject} until {made.until:%Y-%m-%d}.")


@findings.command(cls=OperationCommand, operation="findings unsuppress")
@click.argument("number", type=int)
def unsuppress(number: int) -> None:
    """Remove a suppression by its number: what it hid is shown again."""
    with services_of() as services:
        services.services.trail_rules.unsuppress(number)
    click.echo(f"Suppression {number} is gone.")


@findings.command()
@click.option("--expired", is_flag=True, help="Those that are over too.")
@rows_option
def suppressions(*, expired: bool, form: Form) -> None:
    """List the suppressions that hold now."""
    with services_of() as services:
        found = services.services.trail_rules.suppressions(expired=expired)
    if not found and form is Form.TABLE:
        click.echo("No suppressions.")
        return
    listing = Printout(
        name="suppressions",
        rows=found,
        headers=("number", "rule", "subject", "until", "by", "reason"),
        cells=lambda s: (str(s.number), s.rule, s.subject, f"{s.until:%Y-%m-%d}", s.by, s.reason),
    )
    print_listing(listing, form)

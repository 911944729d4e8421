"""From an event, a finding or a suspect that an operator names to what the incident is about."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from console.whole_posture import examine
from crypto_core.errors import RefusedError
from crypto_core.findings.finding import Finding
from crypto_core.incidents.model import IncidentScope
from crypto_core.incidents.runbooks.catalogue import SubjectKind
from crypto_core.text.cleaning import clean
from screens.incidents.about import About, about_event, about_finding, used_keys

if TYPE_CHECKING:
    from console.container import Container


def completed_scope(
    services: Container, runbook: str, given: IncidentScope, *, event: str = "", finding: str = ""
) -> IncidentScope:
    """Return what was given, completed from the event or the finding that it is declared from.

    What was given goes before. Raises RefusedError where several keys or findings come into question, and
    what the services raise.
    """
    if event and finding:
        raise RefusedError("An incident is declared from an event or a finding, not both.")
    if event:
        about = about_event(services.services.events.event(event))
    elif finding:
        about = about_finding(_finding(services, finding, given))
    else:
        about = About(principal=given.principal)
    kind = next((book.subject for book in services.incidents.runbooks() if book.id == runbook), None)
    if kind is None:
        return given
    found = about.scope(kind)
    named = given.key or given.references or given.filter or given.database
    scope = (
        given if named else replace(given, key=found.key, references=found.references, filter=found.filter)
    )
    scope = replace(
        scope,
        since=given.since or found.since,
        origin=found.origin or given.origin,
        principal=given.principal or found.principal,
    )
    if kind is SubjectKind.KEY and not named and not scope.key:
        scope = replace(scope, key=_only_key(used_keys(services.services.events, about)))
    return scope


def _only_key(keys: tuple[str, ...]) -> str:
    if len(keys) > 1:
        raise RefusedError(
            f"Several keys were used: {', '.join(keys[:5])}{' and more' if len(keys) > 5 else ''}.",
            remedy="Name the one that the incident is about with --key.",
        )
    return keys[0] if keys else ""


def _finding(services: Container, rule: str, given: IncidentScope) -> Finding:
    found = [one for one in examine(services, given.since, None)[0].findings if one.rule == rule]
    about = [one for one in found if one.subject in (given.key, given.principal)] or found
    if len(about) == 1:
        return about[0]
    if not about:
        raise RefusedError(
            f"There is no finding of the rule {clean(rule, 80)!r} now.",
            remedy="List them with: keydeck findings.",
        )
    subjects = ", ".join(one.subject for one in about[:5])
    raise RefusedError(
        f"{len(about):,} findings are of this rule, about {subjects}{' and more' if len(about) > 5 else ''}.",
        remedy="Name the one with --key or --suspect.",
    )

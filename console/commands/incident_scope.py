"""keydeck incident start: what an incident is about, by what is known of its tokens or of what led to it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

import click

from console.capabilities import not_installed
from console.commands.incident_steps import secret_from
from console.commands.session import together
from console.host.interrupts import cancelled_by_interrupt
from console.printed.output import meter, say
from console.whole_posture import examine
from crypto_core.findings.finding import Finding
from crypto_core.incidents.model import FoundScope, IncidentScope
from crypto_core.incidents.runbooks.catalogue import SubjectKind
from crypto_core.lists.own_file import MOST_BYTES
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import InvalidTokenError, RefusedError
from crypto_core.values.secret import Secret
from screens.incidents.about import About, about_event, about_finding, used_keys
from screens.incidents.token_scope import search_opened
from screens.services import LEAK_SEARCH

if TYPE_CHECKING:
    from console.container import Container

found_options = together(
    click.option(
        "--secret",
        "leaked",
        metavar="FILE",
        help="A file of what leaked, as for whose: rows are found by opening the stored tokens; - is stdin.",
    ),
    click.option(
        "--hashed-token",
        "hashes",
        multiple=True,
        metavar="HASH",
        help="A token by the hashed_token of GitHub's audit log.",
    ),
    click.option(
        "--everywhere",
        is_flag=True,
        help="With --secret and --hashed-token: look at the rows of other providers, too.",
    ),
    click.option("--organisation", default="", metavar="NAME", help="The tokens of an organisation."),
    click.option(
        "--opened-by",
        "opener",
        default="",
        metavar="ARN",
        help="The tokens that a principal opened since --since (v2), or could have opened (v1).",
    ),
)


def given_leak(leaked: str | None, hashes: Sequence[str]) -> Secret | Sequence[str] | None:
    """Return what --secret or --hashed-token give, None for neither. Raises UsageError, SettingsError."""
    if leaked is not None and hashes:
        raise click.UsageError("Choose --secret or --hashed-token.")
    if leaked is None and not hashes:
        return None
    if sentence := not_installed(LEAK_SEARCH, "The"):
        raise click.UsageError(sentence)
    if leaked is None:
        return hashes
    if leaked == "-" and sys.stdin.isatty():
        return Secret.of(click.prompt("The leaked token", hide_input=True, err=True))
    try:
        return secret_from(leaked, most=MOST_BYTES, lines=True)
    except InvalidTokenError as error:
        raise click.UsageError(str(error)) from None


def found_tokens(
    services: Container,
    leaked: Secret | Sequence[str] | None,
    opener: str,
    since: datetime | None,
    *,
    everywhere: bool,
) -> FoundScope:
    """Look for rows that hold tokens of a leak, or for what a principal opened; say what is known of that.

    Raises UsageError for a leak without a token, KmsError, DatabaseError, InterruptedRunError.
    """
    with cancelled_by_interrupt("Stopping: no incident is declared.") as cancelled:
        if leaked is not None:
            search = services.services.leak_search
            try:
                with meter("search") as shown:
                    found = search.rows_with(leaked, shown.update, cancelled, everywhere=everywhere)
            except InvalidTokenError as error:
                raise click.UsageError(str(error)) from None
        else:
            found = search_opened(services.trail.use, opener, since, cancelled)
    for line in found.lines:
        say(line)
    return found


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
    kind = next(
        (book.subject for book in services.incident_response.incidents.runbooks() if book.id == runbook), None
    )
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

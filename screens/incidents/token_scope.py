"""Which tokens an incident is about, by what is known of them: what is asked, and what finds them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from threading import Event
from typing import TYPE_CHECKING

from crypto_core.database.tokens.token_groups import GroupBy
from crypto_core.incidents.model import FoundScope
from crypto_core.incidents.scope_check import organisation_filter
from crypto_core.keys.key_uses import OPENS
from crypto_core.values.clean_text import cleans
from crypto_core.values.counts import counted
from screens.facts import ScreenFacts
from screens.widgets.cells import cut, fit
from screens.widgets.line_list import Line, line

if TYPE_CHECKING:
    from crypto_core.trail.use.service import EventUse

SEARCH_SECONDS = 3_600.0
"""How long a search may take. It can be left at any time."""
_ORGANISATIONS = 500
_PRINCIPALS = 100
_OPENING = f"name:{','.join(OPENS)} -failed"


class ScopeBy(StrEnum):
    NAMED = "their references, or a filter"
    LEAKED = "a leaked token itself: its rows are found by opening and comparing"
    HASHED = "GitHub's hashed_token of a leaked token"
    ORGANISATION = "whose they are: an organisation"
    OPENED = "who opened them, since when: by CloudTrail"


@dataclass(frozen=True, slots=True)
@cleans(shown=100)
class OrganisationChoice:
    """An organisation, by its name as it is stored."""

    name: str
    shown: str
    tokens: int


@dataclass(frozen=True, slots=True)
@cleans(arn=700)
class PrincipalChoice:
    arn: str
    calls: int
    last: datetime


def organisations(facts: ScreenFacts, cancelled: Event) -> tuple[OrganisationChoice, ...]:
    groups = facts.services.inventory.groups
    found = groups(GroupBy.ORGANISATION, most=_ORGANISATIONS, named=True, cancelled=cancelled)
    return tuple(OrganisationChoice(one.value, one.shown, one.tokens) for one in found.rows if one.value)


def filter_of(facts: ScreenFacts, choice: OrganisationChoice, cancelled: Event) -> str:
    """Return the filter for an organisation's tokens. Raises RefusedError where there are none."""
    return organisation_filter(facts.services.inventory, choice.name, cancelled=cancelled)


def principals(facts: ScreenFacts, cancelled: Event) -> tuple[PrincipalChoice, ...]:
    found = facts.services.events.tally(("principal",), _OPENING, limit=_PRINCIPALS, cancelled=cancelled)
    return tuple(PrincipalChoice(row.texts[0], row.done, row.last) for row in found.rows if row.texts[0])


def search_opened(use: EventUse, principal: str, since: datetime | None, cancelled: Event) -> FoundScope:
    found = use.tokens_opened(principal, since=since, cancelled=cancelled)
    told = {"opened_by": found.as_json()}
    return FoundScope(tuple(map(str, found.references)), found.summary, found.lines, told)


def choice_line(choice: ScopeBy | OrganisationChoice | PrincipalChoice, width: int) -> Line:
    room = max(width - 2, 8)
    match choice:
        case ScopeBy():
            return line(" ", (fit(choice.value, room), "bold"), target=choice)
        case OrganisationChoice():
            tokens = counted(choice.tokens, "token")
            name = fit(choice.shown, max(room - len(tokens) - 2, 8))
            return line(" ", (name, "bold"), "  ", (tokens, "$muted"), target=choice)
        case PrincipalChoice():
            calls = f"{counted(choice.calls, 'call')}, last {choice.last:%Y-%m-%d %H:%M} UTC"
            name = fit(_tail(choice.arn), max(room - len(calls) - 2, 8))
            return line(" ", (name, "bold"), "  ", (cut(calls, room), "$muted"), target=choice)


def _tail(arn: str) -> str:
    """The part of an ARN that tells principals of an account apart."""
    return arn.rsplit(":", 1)[-1]

"""Keydeck's own calls: by its user agent, and by an identity that it was used with here.

The user agent alone proves nothing, for anybody can send it. So neither does it hide anything alone, and what
is hidden is counted, and examined by the rules, all the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from crypto_core.keys.principals import SESSION, is_of
from crypto_core.lists.filter_language import Clause, Either, Term, written
from crypto_core.trail.event import TrailEvent
from crypto_core.trail.query import parse

OWN_AGENT = "app/keydeck"
OWN = "own"

_CALLER = re.compile(r"arn:[a-z0-9-]+:(?:iam|sts)::\d{12}:[\w+=,.@/-]+", re.ASCII)
"""Whatever else an identity may be called is not hidden: a filter might mean more than it."""
_NOBODY = "id:nobody"
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


def made_by(event: TrailEvent, caller: str) -> bool:
    """True if a call was made by Keydeck, working for `caller` (sts:GetCallerIdentity's ARN)."""
    if not caller or OWN_AGENT not in event.user_agent.split():
        return False
    assumed = SESSION.fullmatch(caller)
    principal = event.principal
    return is_of(caller, principal.arn) and (assumed is None or principal.session == assumed["session"])


def with_callers(clauses: Sequence[Clause], callers: Iterable[str]) -> tuple[Clause, ...]:
    """Return clauses with `own` spelt out: the user agent and one of the callers; without any, nothing."""
    known = tuple(_of(caller) for caller in callers if _CALLER.fullmatch(caller))
    asked = clauses if known else without_own(clauses)
    return tuple(_spelt_out(one, known or (_NOBODY,)) for one in asked)


def without_own(clauses: Sequence[Clause]) -> tuple[Clause, ...]:
    """Return clauses without those that leave own calls out."""
    return tuple(one for one in clauses if not (isinstance(one, Term) and one.field == OWN and one.negated))


def _spelt_out(one: Clause, filters: Sequence[str]) -> Clause:
    if isinstance(one, Either):
        branches = (tuple(_spelt_out(inner, filters) for inner in branch) for branch in one.branches)
        return replace(one, branches=tuple(branches))
    if one.field != OWN:
        return one
    return Either(tuple(parse(filter_, _NEVER) for filter_ in filters), one.negated, one.position)


def _of(caller: str) -> str:
    agent = r"agent:/(^|\s)app\/keydeck(\s|$)/"
    assumed = SESSION.fullmatch(caller)
    if assumed is None:
        return f"{agent} principal:{written(caller)}"
    _, account, role, session = assumed.groups()
    arn = rf"^arn:[a-z0-9-]+:iam::{account}:role\/(.*\/)?{re.escape(role)}$"
    return f"{agent} principal:/{arn}/ session:{written(session)}"

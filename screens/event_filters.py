"""Filters made from what is on screen: only this value, not that one, this span of time; words for times.

What the operator wrote stays as it is written; terms are added, or taken out whole.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from crypto_core.lists.filter_language import Clause, Term, read_moment, written
from crypto_core.trail.query import enclosed, parse
from crypto_core.values.errors import InvalidFilterError

_NOISE = ("service", "own")
_HIDDEN = "-service -own"
FIRST = f"{_HIDDEN} since:24h"
"""The default filter of the list of events."""

LATE = timedelta(minutes=15)
"""How late CloudTrail may tell of an event."""
FIRST_WINDOW = timedelta(hours=24)
"""What is fetched where there is nothing yet."""
KEPT = timedelta(days=90)
"""How far back LookupEvents reaches."""
_AND = re.compile(r"\s+AND$")


def since(words: str, last: datetime | None, now: datetime) -> datetime:
    """Return the start of a fetch: `2h`, a date, or a little before `last`. Raises InvalidFilterError."""
    if words:
        return read_moment(words, now)
    if last is None:
        return now - FIRST_WINDOW
    return max(last - LATE, now - KEPT) if last <= now else now - FIRST_WINDOW


def term(field: str, value: str, *, negated: bool = False) -> str:
    """Return the term for a field's exact value, see filter_language.written."""
    return f"{'-' if negated else ''}{field}:{written(value)}"


def with_term(expression: str, addition: str) -> str:
    """Return a filter with one more term, unless it is there already."""
    return expression if addition in expression else f"{enclosed(expression)} {addition}".strip()


def between(expression: str, first: datetime, last: datetime, now: datetime) -> str:
    """Return a filter for a span of time instead of the one that it has; both ends belong to it."""
    rest = _without(expression, now, "time")
    return f"{enclosed(rest)} since:{_written(first)} until:{_written(last)}".strip()


def window(expression: str, now: datetime) -> tuple[datetime | None, datetime | None]:
    """Return the span of time that a filter's events lie in at most, both ends None where they are open."""
    first: datetime | None = None
    last: datetime | None = None
    for one, _ in _terms(expression, now):
        if not isinstance(one, Term) or one.field != "time" or one.negated or len(one.alternatives) != 1:
            continue
        least, most = one.alternatives[0].at_least, one.alternatives[0].at_most
        if isinstance(least, datetime):
            first = least if first is None else max(first, least)
        if isinstance(most, datetime):
            last = most if last is None else min(last, most)
    return first, last


def with_or_without_noise(expression: str, now: datetime) -> str:
    """Return a filter that shows calls of services and of Keydeck where it hid any, or hides them all."""
    clauses = [one for one, _ in _terms(expression, now)]
    hides = any(isinstance(one, Term) and one.field in _NOISE and one.negated for one in clauses)
    rest = _without(expression, now, *_NOISE)
    return rest if hides else f"{_HIDDEN} {enclosed(rest)}".strip()


def _written(moment: datetime) -> str:
    return moment.replace(microsecond=0).isoformat().replace("+00:00", "Z")


def _without(expression: str, now: datetime, *fields: str) -> str:
    parts = _terms(expression, now)
    return " ".join(text for one, text in parts if not isinstance(one, Term) or one.field not in fields)


def _terms(expression: str, now: datetime) -> list[tuple[Clause, str]]:
    """The clauses of a filter, each as it is written. A filter that can't be read has none."""
    try:
        found = parse(expression, now)
    except InvalidFilterError:
        return []
    if not found:
        return []
    ends = [*(one.position for one in found[1:]), len(expression)]
    texts = (expression[one.position : end].strip() for one, end in zip(found, ends, strict=True))
    return list(zip(found, (_AND.sub("", text) for text in texts), strict=True))

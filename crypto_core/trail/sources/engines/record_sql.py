"""The filter as SQL for Athena, as far as it means exactly the same there.

Athena Developer Guide, "Query AWS CloudTrail logs". What is pushed down may let more through than the filter,
never less: every row is held against the whole filter again when it arrives. Values are bound.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    FromClause,
    TextClause,
    and_,
    func,
    literal_column,
    not_,
    null,
    or_,
    select,
)

from crypto_core.keys.key_uses import OPENS
from crypto_core.lists.filter_language import SET, Alternative, Clause, Term, lower, simplified, terms_of
from crypto_core.trail.bucket_calls import BUCKET_CALLS
from crypto_core.trail.columns import iso
from crypto_core.trail.event import DENIED, S3
from crypto_core.trail.event_fields import EVENT_FIELDS
from crypto_core.trail.event_sql import EngineStatement, can_be_literal, inlined, placed
from crypto_core.trail.sources.engine_rows import IDENTITY, LABELS, RESOURCES, SESSION
from crypto_core.trail.sources.pull_query import KEPT_SOURCES, PullQuery
from crypto_core.trail.term_sql import holds, spelt
from crypto_core.values.key_names import is_key_arn

_LONGEST_ASKED = 400
"""Characters of a filter's value that is pushed down: written for SQL it may be twice as long."""

_ARNS = "json_format(CAST(transform(resources, r -> r.arn) AS JSON))"
_EXACT = {"id": "eventid"} | {
    name: field.recorded.lower() for name, field in EVENT_FIELDS.items() if field.exact
}
_ACCOUNT = re.compile(r"[0-9]{12}")
_KEY_ID = re.compile(r"(?:mrk-)?[0-9a-f-]{32,36}")


Has = Callable[[str], bool]
"""True for a column, or a path within one, that a table has."""


@dataclass(frozen=True, slots=True)
class RecordTable:
    """A table of CloudTrail's records; `limits` are conditions on its partitions.

    `by_day` is True where only the files of some days are read.
    """

    source: FromClause | TextClause
    has: Has = lambda _path: True
    limits: tuple[ColumnElement[bool], ...] = ()
    by_day: bool = False
    remarks: tuple[str, ...] = ()

    def row(self) -> Iterator[ColumnElement[Any]]:
        for name, label in LABELS.items():
            yield (literal_column(name) if self.has(name) else null()).label(label)
        yield (literal_column(_ARNS) if self.has("resources") else null()).label(RESOURCES)

    def kept(self, asked: PullQuery) -> ColumnElement[bool]:
        source: ColumnElement[str] = literal_column("eventsource")
        kept = source.in_(KEPT_SOURCES)
        if not asked.buckets or not self.has("requestparameters"):
            return kept
        named = func.lower(literal_column("requestparameters"))
        about = or_(*(holds(named, bucket.name) for bucket in asked.buckets))
        return or_(kept, and_(source == S3, literal_column("eventname").in_(sorted(BUCKET_CALLS)), about))


def question(asked: PullQuery, of: RecordTable, regions: Sequence[str], limit: int) -> EngineStatement:
    """Return the query for what is asked, in some Regions or, with none, in all."""
    window = between(iso(asked.since), iso(asked.until))
    conditions = [window, *of.limits, of.kept(asked)]
    if regions:
        conditions.append(literal_column("awsregion").in_(list(regions)))
    left: dict[str, None] = {}
    for one in simplified(asked.terms):
        pushed = _pushed(one, asked)
        if pushed is None:
            left |= dict.fromkeys(term.field or "free text" for term in terms_of([one]))
        else:
            conditions.append(pushed)
    wanted = select(*of.row()).select_from(of.source).where(and_(*conditions)).limit(int(limit))
    return EngineStatement(*placed(wanted), inlined(wanted), tuple(left))


def between(first: str | None, last: str | None) -> ColumnElement[bool]:
    """The condition that an event was between two moments, as records have them."""
    at: ColumnElement[str] = literal_column("eventtime")
    ends = [] if first is None else [at >= first]
    return and_(*ends, *([] if last is None else [at <= last]))


def _pushed(one: Clause, asked: PullQuery) -> ColumnElement[bool] | None:
    """The clause as a condition; None for one that SQL can't decide, or not in the same way."""
    if isinstance(one, Term):
        return _pushed_term(one, asked)
    branches = [[_pushed(inner, asked) for inner in b] for b in one.branches]
    known = [[condition for condition in branch if condition is not None] for branch in branches]
    # What lets more through than is asked must not be negated, and is nothing where a branch is unknown.
    if one.negated or not all(known):
        return None
    return or_(*(and_(*branch) for branch in known))


def _pushed_term(term: Term, asked: PullQuery) -> ColumnElement[bool] | None:
    field = term.field or ""
    if field == "time" and not term.negated:
        return _at(term.alternatives)
    if term.alternatives == SET and field in _FLAGS:
        if not term.negated:
            return _FLAGS[field]
        # What a service opened is none of the noise if it can have been a token: its context tells.
        return or_(not_(_FLAGS[field]), _OPENED) if field == "service" else not_(_FLAGS[field])
    texts = [value.text for value in term.alternatives if value.is_text]
    if len(texts) != len(term.alternatives) or not all(_can_be_asked(text) for text in texts):
        return None
    if field in _EXACT:
        column = func.lower(literal_column(_EXACT[field]))
        known = EVENT_FIELDS.get(field)
        found = or_(*(way for value in term.alternatives for way in spelt(column, value, known)))
        return or_(column.is_(None), column == "", not_(found)) if term.negated else found
    if field == "account":
        return _not_of_accounts(texts) if term.negated else _of_accounts(term.alternatives)
    if term.negated:
        return None
    if field == "principal":
        return _principal(term.alternatives)
    if field == "key":
        return _key(term.alternatives, asked)
    return None


def _can_be_asked(text: str) -> bool:
    return text.isascii() and len(text) <= _LONGEST_ASKED and can_be_literal(text)


def _at(ranges: Iterable[Alternative]) -> ColumnElement[bool] | None:
    found = []
    for one in ranges:
        ends = [end for end in (one.at_least, one.at_most) if isinstance(end, datetime)]
        if not ends or any(end.year < 1_000 for end in ends):
            return None
        first, last = (iso(end) if isinstance(end, datetime) else None for end in (one.at_least, one.at_most))
        found.append(between(first, last))
    return or_(*found)


def _of_accounts(values: Iterable[Alternative]) -> ColumnElement[bool]:
    """An event's account is the trail's, or the caller's where the trail's is no account."""
    columns: list[ColumnElement[str]] = [
        literal_column(name) for name in ("recipientaccountid", IDENTITY["accountId"])
    ]
    ways = (spelt(func.lower(column), value) for value in values for column in columns)
    return or_(*(condition for way in ways for condition in way))


def _not_of_accounts(texts: Sequence[str]) -> ColumnElement[bool] | None:
    """None for what may be equal to a column's text without being an account."""
    if not all(_ACCOUNT.fullmatch(text) for text in texts):
        return None
    account: ColumnElement[str | None] = func.coalesce(
        literal_column("recipientaccountid"), literal_column(IDENTITY["accountId"])
    )
    return or_(account.is_(None), account.not_in(texts))


def _principal(values: Iterable[Alternative]) -> ColumnElement[bool] | None:
    """A role's session has another ARN than the role: the name behind the last / or : is in both."""
    columns = [IDENTITY[name] for name in ("arn", "userName", "invokedBy", "principalId")]
    conditions: list[ColumnElement[bool]] = []
    for value in values:
        names = [name for part in value.parts for name in re.split("[:/]", part) if name]
        name = lower(names[-1]) if names else ""
        if name in "iam":
            return None
        conditions += [
            holds(func.lower(literal_column(column)), name) for column in (*columns, SESSION["issuerArn"])
        ]
    return or_(*conditions)


def _key(values: Iterable[Alternative], asked: PullQuery) -> ColumnElement[bool] | None:
    """A key's id is wherever a record names the key: resources, request, answer or error message."""
    ids: dict[str, None] = {}
    for value in values:
        text = value.text
        if is_key_arn(text) or _KEY_ID.fullmatch(text):
            ids[text.rsplit("/", 1)[-1]] = None
        elif text.startswith("alias/") and len(value.parts) == 1:
            ids[text] = None
            known = asked.aliases().items()
            same = lower(text)
            ids |= {arn.rsplit("/", 1)[-1]: None for arn, names in known if same in map(lower, names)}
        else:
            return None
    places: list[ColumnElement[str]] = [literal_column(_ARNS), literal_column("errormessage")]
    places += map(literal_column, ("requestparameters", "responseelements", "serviceeventdetails"))
    return or_(*(holds(func.lower(place), key) for key in ids for place in places))


def record_flags(text: Callable[[str], ColumnElement[str]]) -> dict[str, ColumnElement[bool]]:
    """Return properties as conditions: see TrailEvent; `text` gives a column of records, never NULL."""
    ip, invoked, error = map(text, ("sourceipaddress", "useridentity.invokedby", "errorcode"))
    kind = text("useridentity.type")
    return {
        "service": or_(
            text("eventtype") == "AwsServiceEvent",
            kind == "AWSService",
            *(column == "AWS Internal" for column in (ip, invoked)),
            *(column.like("%.amazonaws.com") for column in (ip, invoked)),
        ),
        "failed": error != "",
        "denied": or_(*(error.like(f"{code}%") for code in DENIED)),
        "root": kind == "Root",
    }


def _text(column: str) -> ColumnElement[str]:
    return func.coalesce(literal_column(column), "")


_FLAGS = record_flags(_text)
_OPENED = and_(_text("eventname").in_(sorted(OPENS)), _text("errorcode") == "")

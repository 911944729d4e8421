"""The filter as SQL for Athena and CloudTrail Lake, as far as it means exactly the same there.

Athena Developer Guide, "Query AWS CloudTrail logs"; CloudTrail User Guide, "Supported SQL schemas for event
data stores". What is pushed down may let more through than the filter, never less: every row is held against
the whole filter again when it arrives. Values are bound, or quoted where a service binds none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
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

from crypto_core.key_names import is_key_arn
from crypto_core.key_uses import OPENS
from crypto_core.lists.filter_language import SET, Alternative, Clause, Term, lower, simplified, terms_of
from crypto_core.trail.bucket_calls import BUCKET_CALLS
from crypto_core.trail.event import DENIED, S3
from crypto_core.trail.event_fields import EVENT_FIELDS
from crypto_core.trail.event_sql.dialect import can_be_literal, inlined, placed, quoted
from crypto_core.trail.sources.engine_rows import DOCUMENTS, IDENTITY, PLAIN, SESSION
from crypto_core.trail.sources.pull_query import KEPT_SOURCES, PullQuery
from crypto_core.trail.term_sql import holds, spelt

_LONGEST_ASKED = 400
"""Characters of a filter's value that is pushed down: written for SQL it may be twice as long."""

_ARNS = "json_format(CAST(transform(resources, r -> r.arn) AS JSON))"
_EXACT = {
    "name": "eventname",
    "ip": "sourceipaddress",
    "error": "errorcode",
    "region": "awsregion",
    "source": "eventsource",
    "access_key": "useridentity.accesskeyid",
    "id": "eventid",
}
"""Fields whose values only AWS writes: in SQL they are what they are here."""
_ACCOUNT = re.compile(r"[0-9]{12}")
_KEY_ID = re.compile(r"(?:mrk-)?[0-9a-f-]{32,36}")


@dataclass(frozen=True, slots=True)
class LakeStatement:
    """A statement with a ? for each of its values, or `inlined`; `left` are the fields left to us."""

    statement: str
    values: tuple[str, ...]
    inlined: str
    left: tuple[str, ...]

    @property
    def literals(self) -> tuple[str, ...]:
        return tuple(quoted(value) for value in self.values)


def question(
    asked: PullQuery,
    source: FromClause | TextClause,
    *,
    written: Callable[[datetime], str],
    regions: Sequence[str] = (),
    as_json: bool,
    columns: frozenset[str] | None = None,
    more: Sequence[ColumnElement[bool]] = (),
    limit: int,
) -> LakeStatement:
    """Return the query for what is asked, in some Regions or, with none, in all.

    `written` gives a moment as the engine writes it; `as_json` is for maps, which become JSON; `columns` are
    those that are there, None for all; `more` are conditions on partitions.
    """
    there = [*_selected(as_json=as_json, columns=columns)]
    window = between(written(asked.since), written(asked.until))
    conditions: list[ColumnElement[bool]] = [window, *more]
    conditions.append(_kept(asked, as_json=as_json, columns=columns))
    if regions:
        conditions.append(literal_column("awsregion").in_(list(regions)))
    left: dict[str, None] = {}
    for one in simplified(asked.terms):
        pushed = _pushed(one, asked, written, as_json=as_json)
        if pushed is None:
            left |= dict.fromkeys(term.field or "free text" for term in terms_of([one]))
        else:
            conditions.append(pushed)
    wanted = select(*there).select_from(source).where(and_(*conditions)).limit(int(limit))
    return LakeStatement(*placed(wanted), inlined(wanted), tuple(left))


def _kept(asked: PullQuery, *, as_json: bool, columns: frozenset[str] | None) -> ColumnElement[bool]:
    source: ColumnElement[str] = literal_column("eventsource")
    request = "requestparameters"
    kept = source.in_(KEPT_SOURCES)
    if not asked.buckets or (columns is not None and request not in columns):
        return kept
    named = func.lower(_document_column(request, as_json=as_json))
    about = or_(*(holds(named, bucket.name) for bucket in asked.buckets))
    return or_(kept, and_(source == S3, literal_column("eventname").in_(sorted(BUCKET_CALLS)), about))


def _selected(*, as_json: bool, columns: frozenset[str] | None) -> Iterator[ColumnElement[Any]]:
    def column(name: str, label: str, written: ColumnElement[Any] | None = None) -> ColumnElement[Any]:
        if columns is not None and name.partition(".")[0] not in columns:
            return null().label(label)
        return (literal_column(name) if written is None else written).label(label)

    for one in PLAIN.values():
        yield column(one, one)
    for one in DOCUMENTS.values():
        yield column(one, one, _document_column(one, as_json=as_json))
    for name, one in IDENTITY.items():
        yield column(one, f"identity_{name.lower()}")
    for name, one in SESSION.items():
        yield column(one, f"session_{name.lower()}")
    yield column("resources", "resource_arns", literal_column(_ARNS))


def _document_column(name: str, *, as_json: bool) -> ColumnElement[str]:
    return literal_column(f"json_format(CAST({name} AS JSON))" if as_json else name)


def between(first: str | None, last: str | None) -> ColumnElement[bool]:
    """The condition that an event was between two moments, as the engine writes them."""
    at: ColumnElement[str] = literal_column("eventtime")
    ends = [] if first is None else [at >= first]
    return and_(*ends, *([] if last is None else [at <= last]))


def _pushed(
    one: Clause, asked: PullQuery, written: Callable[[datetime], str], *, as_json: bool
) -> ColumnElement[bool] | None:
    """The clause as a condition; None for one that SQL can't decide, or not in the same way."""
    if isinstance(one, Term):
        return _pushed_term(one, asked, written, as_json=as_json)
    branches = [[_pushed(inner, asked, written, as_json=as_json) for inner in b] for b in one.branches]
    known = [[condition for condition in branch if condition is not None] for branch in branches]
    # What lets more through than is asked must not be negated, and is nothing where a branch is unknown.
    if one.negated or not all(known):
        return None
    return or_(*(and_(*branch) for branch in known))


def _pushed_term(
    term: Term, asked: PullQuery, written: Callable[[datetime], str], *, as_json: bool
) -> ColumnElement[bool] | None:
    field = term.field or ""
    if field == "time" and not term.negated:
        return _at(term.alternatives, written)
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
        return _key(term.alternatives, asked, as_json=as_json)
    return None


def _can_be_asked(text: str) -> bool:
    return text.isascii() and len(text) <= _LONGEST_ASKED and can_be_literal(text)


def _at(ranges: Iterable[Alternative], written: Callable[[datetime], str]) -> ColumnElement[bool] | None:
    found = []
    for one in ranges:
        ends = [end for end in (one.at_least, one.at_most) if isinstance(end, datetime)]
        if not ends or any(end.year < 1_000 for end in ends):
            return None
        first, last = (
            written(end) if isinstance(end, datetime) else None for end in (one.at_least, one.at_most)
        )
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


def _key(values: Iterable[Alternative], asked: PullQuery, *, as_json: bool) -> ColumnElement[bool] | None:
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
    places += [
        _document_column(name, as_json=as_json)
        for name in ("requestparameters", "responseelements", "serviceeventdetails")
    ]
    return or_(*(holds(func.lower(place), key) for key in ids for place in places))


def _flags() -> dict[str, ColumnElement[bool]]:
    """Properties as conditions that are never NULL: see TrailEvent."""

    def text(column: str) -> ColumnElement[str]:
        return func.coalesce(literal_column(column), "")

    ip, invoked, error = text("sourceipaddress"), text("useridentity.invokedby"), text("errorcode")
    kind = text("useridentity.type")
    services = [column.like("%.amazonaws.com") for column in (ip, invoked)]
    return {
        "service": or_(
            text("eventtype") == "AwsServiceEvent",
            kind == "AWSService",
            ip == "AWS Internal",
            invoked == "AWS Internal",
            *services,
        ),
        "failed": error != "",
        "denied": or_(*(error.like(f"{code}%") for code in DENIED)),
        "root": kind == "Root",
    }


_FLAGS = _flags()
_OPENED = and_(
    func.coalesce(literal_column("eventname"), "").in_(sorted(OPENS)),
    func.coalesce(literal_column("errorcode"), "") == "",
)


def iso(moment: datetime) -> str:
    """A moment as CloudTrail writes it."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"

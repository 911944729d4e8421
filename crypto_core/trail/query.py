"""What can be asked of events: the filter language's fields, and what each of them is compared with.

The same on screen, in commands and in rules: `name:Decrypt error:* principal:*intruder* since:2h -service`.
Other tools' names of the fields are known too, and hours and weekdays, in UTC.

Request parameters and encryption contexts have as many names as operations have, so the store has no columns
of them: the record is read when it is asked, of those events alone that pass the rest of the filter.
`param.keyId` is a parameter by its name, `param.*` is any, `context.keydeck:id` a pair of an encryption
context. Names are in lower case.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from crypto_core.lists.filter_language import (
    HOURS,
    WEEKDAYS,
    Clause,
    Field,
    Term,
    Value,
    ValueKind,
    are_alternatives,
    parse_filter,
    terms_of,
)
from crypto_core.lists.regular_expression import lower
from crypto_core.trail.columns import FLAGS, marks
from crypto_core.trail.event import UNDATED, TrailEvent
from crypto_core.trail.event_fields import EVENT_FIELDS, SAID
from crypto_core.trail.record_reader import load
from crypto_core.values.clean_text import CleanText, clean
from crypto_core.values.errors import InvalidFilterError

KEYED = ("param", "context")

_SHORT = {"grantee": "granteeprincipal", "retiring": "retiringprincipal"}
_CONTEXTS = ("encryptioncontext", "sourceencryptioncontext", "destinationencryptioncontext")
_LONGEST = 65_536
"""Characters of a value, such as a policy."""
_MOST = 1_000


def is_of_record(field: str | None) -> bool:
    """True for a field that the record is read for."""
    return field is not None and field.partition(".")[0] in KEYED and "." in field


def record_values(record: bytes, field: str) -> tuple[CleanText, ...]:
    """Return the texts that a record's JSON has under such a field; of lists and objects, each value."""
    kind, _, name = field.partition(".")
    if not _may_have(record, name):
        return ()
    try:
        parsed = load(record)
    except ValueError:
        return ()
    request = parsed.get("requestParameters") if isinstance(parsed, dict) else None
    if kind == "context":
        found = [
            pair for context in _CONTEXTS for one in _named(request, context) for pair in _named(one, name)
        ]
    else:
        found = _within(request, _SHORT.get(name, name).split("."))
    texts = (text for value in found for text in _texts(value))
    return tuple(clean(text, _LONGEST) for text, _ in zip(texts, range(_MOST), strict=False))


def _may_have(record: bytes, name: str) -> bool:
    """False where the name does not stand in the record: most records need not be parsed."""
    last = _SHORT.get(name, name).rsplit(".", 1)[-1]
    return last == "*" or b"\\u" in record or not last.isascii() or last.encode() in record.lower()


def _within(value: Any, names: list[str]) -> list[Any]:
    found = [value]
    for name in names:
        found = [inner for one in found for inner in _named(one, name)]
    return found


def _named(value: Any, name: str) -> list[Any]:
    if isinstance(value, list):
        return [inner for one in value for inner in _named(one, name)] if len(value) <= _MOST else []
    if not isinstance(value, dict):
        return []
    return [inner for key, inner in value.items() if name == "*" or lower(key) == name]


def _texts(value: Any) -> Iterator[str]:
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
        elif isinstance(one, bool):
            yield "true" if one else "false"
        elif one is not None:
            yield str(one)


Aliases = Callable[[], Mapping[str, Sequence[str]]]
"""The aliases of key ARNs, as far as they are known by now."""

_FIELDS = (
    *(
        Field(name, ValueKind.ADDRESS if name == "ip" else ValueKind.TEXT, field.only)
        for name, field in EVENT_FIELDS.items()
    ),
    Field("id"),
    Field("receipt"),
    Field("time", ValueKind.DATE),
    Field("hour", ValueKind.CYCLE, HOURS),
    Field("weekday", ValueKind.CYCLE, WEEKDAYS),
    Field("since", ValueKind.SINCE, of="time"),
    Field("until", ValueKind.UNTIL, of="time"),
    *(Field(name, ValueKind.KEYED) for name in KEYED),
    *(Field(flag, ValueKind.FLAG) for flag in (*FLAGS, "own", "reviewed", "noted")),
)
_OWN = {field.name: field for field in _FIELDS}

OTHER_NAMES = {
    **{said: name for name, said in SAID.items()},
    "vpce": "endpoint",
    # CloudTrail's records and LookupEvents, as Athena, Splunk and jq name them
    **{
        lower(said): field.name
        for field in EVENT_FIELDS.values()
        if field.recorded
        for said in (field.recorded, field.recorded.rpartition(".")[2])
    },
    "eventtime": "time",
    "eventid": "id",
    "recipientaccountid": "account",
    "useridentity.arn": "principal",
    "useridentity.username": "principal",
    "useridentity.sessioncontext.sessionissuer.arn": "principal",
    "username": "principal",
    "resources.arn": "key",
    "additionaleventdata.keymaterialid": "material",
    "useridentity.sessioncontext.attributes.mfaauthenticated": "mfa",
    "mfaauthenticated": "mfa",
    "requestparameters": "param",
    "requestparameters.encryptioncontext": "context",
    "encryptioncontext": "context",
    # Elastic's Common Schema
    "event.action": "name",
    "event.provider": "source",
    "event.id": "id",
    "source.ip": "ip",
    "source.address": "ip",
    "user_agent.original": "agent",
    "cloud.region": "region",
    "cloud.account.id": "account",
    "user.name": "principal",
    "aws.cloudtrail.error_code": "error",
    "aws.cloudtrail.error_message": "message",
    "aws.cloudtrail.user_identity.arn": "principal",
    # OCSF
    "api.operation": "name",
    "api.service.name": "source",
    "api.response.error": "error",
    "src_endpoint.ip": "ip",
    "http_request.user_agent": "agent",
}

FIELDS: dict[str, Field] = _OWN | {other: _OWN[name] for other, name in OTHER_NAMES.items()}

_SESSION = re.compile(r"(?:^|[*:])assumed-role/([^/*]+)(?:/([^*]+))?", re.IGNORECASE)
_SESSION_ARN = re.compile(r"arn:[a-z0-9-]+:sts::[0-9]{12}:assumed-role/.+")


def parse(expression: str, now: datetime) -> tuple[Clause, ...]:
    """Return the clauses of a filter for events. Raises InvalidFilterError pointing at the character."""
    clauses = parse_filter(expression, FIELDS, now=now)
    for term in terms_of(clauses):
        if term.field == "principal":
            _refuse_sessions(term)
    return clauses


def enclosed(expression: str) -> str:
    """Return a filter so that terms may follow it: in parentheses where an OR would take them in."""
    try:
        clauses = parse(expression, datetime.now(UTC))
    except InvalidFilterError:
        return expression
    return f"({expression.strip()})" if are_alternatives(clauses) else expression


def _refuse_sessions(term: Term) -> None:
    """A principal is the role; CloudTrail's ARN of one of its sessions is found nowhere."""
    for value in term.alternatives:
        found = _SESSION.search(value.text)
        if found is None or (value.literal and not _SESSION_ARN.fullmatch(value.text)):
            continue
        session = f" session:{clean(found[2], 64)}" if found[2] else ""
        raise InvalidFilterError(
            f"Filter, character {term.position + 1}: The principal is the role, not one session of it.",
            position=term.position,
            remedy=f"Write principal:role/{clean(found[1], 64)}{session}.",
        )


def values(event: TrailEvent, field: str, aliases: Mapping[str, Sequence[str]]) -> Value:
    if field == "id":
        return event.event_id
    if field == "time":
        return event.time
    if field == "hour":
        return HOURS[event.time.hour] if _has_hour(event) else ()
    if field == "weekday":
        return WEEKDAYS[event.time.weekday()] if _has_hour(event) else ()
    if field in FLAGS:
        return ("yes",) if marks(event) & FLAGS[field] else ()
    if is_of_record(field):
        return record_values(event.raw, field)
    found = EVENT_FIELDS.get(field)
    return found.values(event, aliases) if found is not None else ()


def _has_hour(event: TrailEvent) -> bool:
    """False for the hour that stands for no time at all, see UNDATED."""
    return event.time - UNDATED >= timedelta(hours=1)

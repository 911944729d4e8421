"""What can be asked of events: the filter language's fields, and what each of them is compared with.

The same on screen, in commands and in rules: `name:Decrypt error:* principal:*intruder* since:2h -service`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from crypto_core.lists.filter_language import Field, Term, Value, ValueKind, parse_filter
from crypto_core.trail.event import TrailEvent

Aliases = Callable[[], Mapping[str, Sequence[str]]]
"""The aliases of key ARNs, as far as they are known by now."""

FLAGS = ("service", "failed", "denied", "human", "root", "console", "reviewed", "noted")

_FIELDS = (
    Field("name"),
    Field("principal"),
    Field("session"),
    Field("ip"),
    Field("agent"),
    Field("error"),
    Field("message"),
    Field("key"),
    Field("material"),
    Field("token"),
    Field("region"),
    Field("account"),
    Field("source"),
    Field("access_key"),
    Field("id"),
    Field("time", ValueKind.DATE),
    Field("since", ValueKind.SINCE, of="time"),
    Field("until", ValueKind.UNTIL, of="time"),
    *(Field(flag, ValueKind.FLAG) for flag in FLAGS),
)
FIELDS: dict[str, Field] = {field.name: field for field in _FIELDS}

FREE = ("name", "principal", "session", "ip", "agent", "error", "message", "key", "token", "access_key")
"""Where free text is looked for."""

PIVOTS = (
    "principal",
    "ip",
    "agent",
    "name",
    "error",
    "key",
    "material",
    "token",
    "region",
    "account",
    "source",
)
"""The fields that events can be counted by."""


def parse(expression: str, now: datetime) -> tuple[Term, ...]:
    """Return the terms of a filter for events. Raises InvalidFilterError pointing at the character."""
    return parse_filter(expression, FIELDS, now=now)


def suffixes(text: str, after: str) -> tuple[str, ...]:
    """A text and what of it stands behind each of the characters `after`: how long names are shortened."""
    return (text, *(text[i + 1 :] for i, c in enumerate(text) if c in after))


SHORTENED = {"principal": ":/", "token": ":"}
"""Fields whose values may be given without their beginning, and the characters behind which it ends."""


def key_names(arn: str, aliases: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """What a key may be called: its ARN, its id, its aliases."""
    return (arn, arn.rsplit("/", 1)[-1], *aliases.get(arn, ()))


def values(event: TrailEvent, field: str, aliases: Mapping[str, Sequence[str]]) -> Value:
    """Return what an event has in a field, every way in which it may be asked for. "" is nothing."""
    match field:
        case "key":
            named = event.key_arns or ((event.alias,) if event.alias else ())
            return [name for key in named for name in key_names(key, aliases)]
        case "material":
            return event.material_ids
        case "source":
            return (event.source, event.source.removesuffix(".amazonaws.com")) if event.source else ()
        case "principal":
            return suffixes(event.principal.arn, SHORTENED[field]) if event.principal.arn else ()
        case "token":
            return suffixes(str(event.token_ref), SHORTENED[field]) if event.token_ref else ()
        case "time":
            return event.time
        case "service" | "failed" | "denied" | "human" | "root" | "console":
            return ("yes",) if _flags(event)[field] else ()
    return _plain(event, field) or ()


def _flags(event: TrailEvent) -> dict[str, bool]:
    return {
        "service": event.by_service,
        "failed": event.failed,
        "denied": event.denied,
        "human": event.principal.is_human,
        "root": event.principal.is_root,
        "console": event.principal.from_console,
    }


def _plain(event: TrailEvent, field: str) -> str:
    return {
        "name": event.name,
        "session": event.principal.session,
        "ip": event.source_ip,
        "agent": event.user_agent,
        "error": event.error_code,
        "message": event.error_message,
        "region": event.region,
        "account": event.account,
        "access_key": event.principal.access_key_id,
        "id": event.event_id,
    }.get(field, "")

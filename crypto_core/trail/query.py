"""What can be asked of events: the filter language's fields, and what each of them is compared with.

The same on screen, in commands and in rules: `name:Decrypt error:* principal:*intruder* since:2h -service`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from crypto_core.lists.filter_language import Field, Term, Value, ValueKind, parse_filter
from crypto_core.trail.columns import FLAGS, marks
from crypto_core.trail.event import TrailEvent
from crypto_core.trail.event_fields import EVENT_FIELDS

Aliases = Callable[[], Mapping[str, Sequence[str]]]
"""The aliases of key ARNs, as far as they are known by now."""

_FIELDS = (
    *map(Field, EVENT_FIELDS),
    Field("id"),
    Field("time", ValueKind.DATE),
    Field("since", ValueKind.SINCE, of="time"),
    Field("until", ValueKind.UNTIL, of="time"),
    *(Field(flag, ValueKind.FLAG) for flag in (*FLAGS, "reviewed", "noted")),
)
FIELDS: dict[str, Field] = {field.name: field for field in _FIELDS}


def parse(expression: str, now: datetime) -> tuple[Term, ...]:
    """Return the terms of a filter for events. Raises InvalidFilterError pointing at the character."""
    return parse_filter(expression, FIELDS, now=now)


def values(event: TrailEvent, field: str, aliases: Mapping[str, Sequence[str]]) -> Value:
    """Return what an event has in a field, every way in which it may be asked for. "" is nothing."""
    if field == "id":
        return event.event_id
    if field == "time":
        return event.time
    if field in FLAGS:
        return ("yes",) if marks(event) & FLAGS[field] else ()
    found = EVENT_FIELDS.get(field)
    return found.values(event, aliases) if found is not None else ()

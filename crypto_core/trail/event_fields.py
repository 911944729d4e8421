"""The fields of an event: how each is asked for, stored and counted. One entry a field; all else derives.

Beside its entry here a field needs a place in TrailEvent, which tells what of a record fills it: readers,
engines and filters have its name from there. Stores that were made before get its column, and what their
records hold of it, when they are opened.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from crypto_core.trail.event import Principal, TrailEvent

if TYPE_CHECKING:  # processes that only read files load no language of filters
    from crypto_core.lists.filter_language import Value

Named = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class EventField:
    """One field. `text` is what the store keeps of it, "" for nothing.

    `kind` is what the store calls such texts: the next number, and never one that was given out before.
    `ways` is every way in which a text may be asked for, where that is more than itself. `rolled` fields
    are counted by the hour; others differ too much from event to event. Free text is looked for in `free`
    ones. `pivot` is its place among the fields that events are counted by, None where they are not. `said` is
    what JSON documents call it.
    """

    name: str
    kind: int
    text: Callable[[TrailEvent], str]
    ways: Callable[[str, Named], Sequence[str]] | None = None
    rolled: bool = True
    free: bool = False
    pivot: int | None = None
    shortened: str = ""
    """Its values may be given without their beginning, which ends with one of these characters."""
    ending: str = ""
    """Its values may be given without this at their end."""
    said: str = ""
    recorded: str = ""
    """What CloudTrail's records call it, "" where it is made out of more of them."""
    most: int = 0
    """Characters kept of what they call so."""
    exact: bool = False
    """Only AWS writes its values: in an engine's SQL they are what they are here."""
    label: str = ""
    """What an event's page calls it, where it has no place of its own there."""
    only: tuple[str, ...] = ()
    """The only values that it may be asked for, where there are only some."""

    def values(self, event: TrailEvent, aliases: Named) -> Value:
        """Return what an event has in the field, in every way that it may be asked for; empty for nothing."""
        text = self.text(event)
        return self.spellings(text, aliases) if text else ()

    def spellings(self, text: str, aliases: Named) -> Sequence[str]:
        if self.ways is not None:
            return self.ways(text, aliases)
        if self.ending:
            return (text, text.removesuffix(self.ending))
        return suffixes(text, self.shortened) if self.shortened else (text,)


def suffixes(text: str, after: str) -> tuple[str, ...]:
    """A text and what of it stands behind each of the characters `after`: how long names are shortened."""
    return (text, *(text[i + 1 :] for i, c in enumerate(text) if c in after))


def key_names(arn: str, aliases: Named) -> tuple[str, ...]:
    return (arn, arn.rsplit("/", 1)[-1], *aliases.get(arn, ()))


def _keys(text: str, aliases: Named) -> Sequence[str]:
    return [name for key in text.split(" ") for name in key_names(key, aliases)]


_SERVICES = ".amazonaws.com"


def _mfa(event: TrailEvent) -> str:
    """Empty where the record doesn't tell, as for a user's own access key."""
    return "" if event.principal.mfa is None else "yes" if event.principal.mfa else "no"


def _at(name: str, kind: int, attribute: str, **more: Any) -> EventField:
    """A field that is an attribute of events, or of their principals."""
    model, last = (TrailEvent, attribute) if "." not in attribute else (Principal, attribute.split(".")[1])
    (told,) = (one.metadata for one in fields(model) if one.name == last)
    recorded, most = told.get("name", ""), told.get("most", 0)
    return EventField(name, kind, attrgetter(attribute), recorded=recorded, most=most, **more)


EVENT_FIELDS: dict[str, EventField] = {
    field.name: field
    for field in (
        _at("name", 1, "name", free=True, pivot=3, said="operation", exact=True),
        _at("principal", 3, "principal.arn", free=True, pivot=0, shortened=":/"),
        _at("session", 11, "principal.session", rolled=False, free=True),
        _at("ip", 4, "source_ip", free=True, pivot=1, said="source_ip", exact=True),
        _at("agent", 5, "user_agent", free=True, pivot=2, said="user_agent"),
        _at("error", 6, "error_code", free=True, pivot=4, said="error_code", exact=True),
        _at("message", 14, "error_message", rolled=False, free=True),
        EventField(
            *("key", 7, lambda event: " ".join(event.key_arns) or event.alias, _keys), free=True, pivot=5
        ),
        EventField(
            *("material", 8, lambda event: " ".join(event.material_ids)),
            ways=lambda text, _: text.split(" "),
            pivot=6,
        ),
        EventField(
            *("token", 13, lambda event: str(event.token_ref) if event.token_ref else ""),
            rolled=False,
            free=True,
            pivot=7,
            shortened=":",
        ),
        _at("region", 9, "region", pivot=8, label="Region", exact=True),
        _at("account", 10, "account", pivot=9, label="account"),
        _at("source", 2, "source", ending=_SERVICES, pivot=10, label="source", exact=True),
        _at(
            *("access_key", 12, "principal.access_key_id"),
            rolled=False,
            free=True,
            said="access_key_id",
            exact=True,
        ),
        _at("endpoint", 15, "vpc_endpoint", said="vpc_endpoint", label="VPC endpoint"),
        _at("invoked_by", 16, "principal.invoked_by", ending=_SERVICES),
        EventField("mfa", 17, _mfa, only=("yes", "no")),
        _at("tls", 18, "tls_version", shortened="v", said="tls_version", label="TLS"),
    )
}

FREE = tuple(name for name, field in EVENT_FIELDS.items() if field.free)

PIVOTS = tuple(
    name for _, name in sorted((f.pivot, name) for name, f in EVENT_FIELDS.items() if f.pivot is not None)
)

_STORED = sorted(EVENT_FIELDS.values(), key=lambda field: field.kind)

ROLLED = {field.name: field.kind for field in _STORED if field.rolled}
"""The columns of texts that both of the store's tables have, each with what its texts are."""

DETAILS = {field.name: field.kind for field in _STORED if not field.rolled}
"""Those that are an event's alone: they differ too much to be counted by the hour."""

LABELLED = tuple(field for field in _STORED if field.label)
"""Those that an event's page lists by their labels, younger ones last."""

SAID = {name: field.said for name, field in EVENT_FIELDS.items() if field.said}

"""The fields and words of the filter language, as the page about filters has them."""

from __future__ import annotations

from collections.abc import Iterable

from crypto_core.database.tokens.inventory_expressions import FIELDS as OF_TOKENS
from crypto_core.lists.filter_values import Field, ValueKind
from crypto_core.trail.event_fields import FREE
from crypto_core.trail.query import FIELDS as OF_EVENTS
from crypto_core.trail.query import OTHER_NAMES


def markdown() -> str:
    flags = [name for name, field in OF_EVENTS.items() if field.kind is ValueKind.FLAG]
    other = [f"`{name}` → `{own}`" for name, own in OTHER_NAMES.items() if "." not in name]
    parts = {
        "Fields of events": _quoted(_names(OF_EVENTS)),
        "Words about events": _quoted(flags),
        "Free text": f"looked for in {_quoted(FREE)} of events; in reference, organisation, provider and "
        "shown columns of tokens",
        "Names of other tools": f"{', '.join(other)}; with `userIdentity.` and the like before them, too",
        "Fields of tokens": _quoted(_names(OF_TOKENS)),
    }
    return "\n".join(f"- **{name}**: {text}." for name, text in parts.items())


def _names(fields: dict[str, Field]) -> list[str]:
    named = (field.shown for field in fields.values() if field.kind is not ValueKind.FLAG)
    return list(dict.fromkeys(named))


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)

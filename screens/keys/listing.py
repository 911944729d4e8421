"""The KMS keys as a table lists them: columns, fields to filter by, orders."""

from __future__ import annotations

from datetime import UTC, datetime

from crypto_core.key_names import is_multi_region
from crypto_core.keys.state import KeyState
from crypto_core.lists.filter_language import Field, Value, ValueKind
from crypto_core.lists.in_memory import MemorySource
from crypto_core.lists.paging import PagedSource
from crypto_core.text.cleaning import clean
from screens.ages import ago
from screens.facts import Facts
from screens.key_words import KeyWords
from screens.keys.words import UNKNOWN, rotation_words, state_words
from screens.signs import Sign
from screens.widgets.table.columns import Cell, Column
from screens.widgets.table.listing import Listing

FIELDS: dict[str, Field] = {
    field.name: field
    for field in (
        Field("name"),
        Field("key"),
        Field("state"),
        Field("spec"),
        Field("origin"),
        Field("manager"),
        Field("region"),
        Field("rotation", values=("on", "off", "unknown")),
        Field("tokens", ValueKind.NUMBER),
        Field("created", ValueKind.DATE),
        Field("used", ValueKind.DATE),
    )
}
FIELDS |= {"alias": FIELDS["name"]}


def tokens_under(key: KeyState, facts: Facts) -> int | None:
    """Return how many tokens are under a key, None before they were counted."""
    status = facts.status.value
    return status.tokens_under(key.key_arn) if status is not None else None


def _name(key: KeyState, _facts: Facts) -> Cell:
    if is_multi_region(key.key_arn):
        # Replicas have one id: the Region tells them apart.
        return clean(f"{key.name} {key.region}", 160), "bold"
    return KeyWords([key]).long(key.key_arn), "bold"


def _state(key: KeyState, facts: Facts) -> Cell:
    _, words, style = state_words(key, facts.moment)
    return words, "" if style == "$success" else style


def _spec(key: KeyState, _facts: Facts) -> Cell:
    return (clean(key.spec), "") if key.spec else UNKNOWN


def _rotation(key: KeyState, _facts: Facts) -> Cell:
    return rotation_words(key)


def _material(key: KeyState, facts: Facts) -> Cell:
    generation = facts.key_words.generation(key.key_arn, key.current_material_id)
    return (generation, "") if generation else UNKNOWN


def _tokens(key: KeyState, facts: Facts) -> Cell:
    count = tokens_under(key, facts)
    return ("?", "$disabled") if count is None else (f"{count:,}", "bold" if count else "$muted")


def _used(key: KeyState, facts: Facts) -> Cell:
    return (ago(key.last_used_at, facts.moment), "") if key.last_used_at else UNKNOWN


def _region(key: KeyState, _facts: Facts) -> Cell:
    return key.region, ""


def _origin(key: KeyState, _facts: Facts) -> Cell:
    return (clean(key.origin), "") if key.origin else UNKNOWN


def _created(key: KeyState, facts: Facts) -> Cell:
    return (ago(key.created_at, facts.moment), "$muted") if key.created_at else UNKNOWN


def _sign(key: KeyState, facts: Facts) -> Sign:
    sign, _, style = state_words(key, facts.moment)
    return Sign(sign, style)


COLUMNS: tuple[Column[KeyState], ...] = (
    Column("name", "key", _name, "name", 24, 48, 0),
    Column("state", "state", _state, "state", 16, 20, 1),
    Column("spec", "spec", _spec, "spec", 17, 20, 6),
    Column("rotation", "rotation", _rotation, "rotation", 9, 10, 3),
    Column("material", "material", _material, "", 8, 10, 7),
    Column("tokens", "tokens", _tokens, "tokens", 8, 12, 2, right=True),
    Column("used", "last used", _used, "used", 9, 12, 4),
    Column("region", "Region", _region, "region", 12, 16, 8, shown=False),
    Column("origin", "origin", _origin, "origin", 10, 16, 9, shown=False),
    Column("created", "created", _created, "created", 8, 12, 10, shown=False),
)


def _read(facts: Facts, key: KeyState, field: str) -> Value:
    match field:
        case "name":
            return key.aliases or (key.name,)
        case "key":
            return (key.key_arn, key.key_arn.rsplit("/", 1)[-1], *key.aliases)
        case "state" | "spec" | "origin" | "manager" | "region":
            value: str | None = getattr(key, field)
            return value
        case "rotation":
            return {True: "on", False: "off", None: "unknown"}[key.rotation_enabled]
        case "tokens":
            return tokens_under(key, facts)
        case "created":
            return key.created_at
        case "used":
            return key.last_used_at
    return None


def _moment(moment: datetime | None) -> float | None:
    return moment.astimezone(UTC).timestamp() if moment else None


def source(facts: Facts) -> PagedSource[KeyState]:
    """Return the keys that are known by now, those with most tokens first."""
    return MemorySource(
        lambda: facts.keys.value or (),
        fields=FIELDS,
        read=lambda key, field: _read(facts, key, field),
        identity=lambda key: f"{key.name} {key.key_arn}",
        free=("name", "key", "state", "spec", "region"),
        sorts={
            "name": lambda key: key.name,
            "state": lambda key: key.state,
            "spec": lambda key: key.spec,
            "rotation": lambda key: key.rotation_period_days if key.rotation_enabled else None,
            "tokens": lambda key: tokens_under(key, facts),
            "used": lambda key: _moment(key.last_used_at),
            "region": lambda key: key.region,
            "origin": lambda key: key.origin,
            "created": lambda key: _moment(key.created_at),
        },
    )


LISTING: Listing[KeyState] = Listing(
    name="keys",
    columns=COLUMNS,
    source=source,
    fields=FIELDS,
    sort="tokens",
    descending=True,
    identity=lambda key: key.key_arn,
    reference=lambda key: clean(key.key_arn),
    sign=_sign,
    record=lambda key: key.as_json(),
    one="key",
    many="keys",
    nothing="KMS shows no key to this identity in this Region.\n"
    "Listing takes kms:ListKeys and kms:DescribeKey. Is the Region right? c chooses another.",
)
EXAMPLE = "state:Disabled rotation:off -name:*reports*"

"""The KMS keys as a table lists them: columns, fields to filter by, orders."""

from __future__ import annotations

from datetime import UTC, datetime

from crypto_core.key_names import is_multi_region
from crypto_core.keys.state import KeyState
from crypto_core.lists.filter_language import Field, ValueKind
from screens.ages import ago
from screens.facts import Facts
from screens.key_words import KeyWords
from screens.keys.words import UNKNOWN, rotation_words, state_words
from screens.widgets.table.columns import Cell, Column
from screens.widgets.table.listing import Listing
from screens.widgets.table.memory_rows import MemoryRows


def tokens_under(key: KeyState, facts: Facts) -> int | None:
    """Return how many tokens are under a key, None before they were counted."""
    status = facts.status.value
    return status.tokens_under(key.key_arn) if status is not None else None


def _name(key: KeyState) -> str:
    if is_multi_region(key.key_arn):
        # Replicas have one id: the Region tells them apart.
        return f"{key.name} {key.region}"
    return KeyWords([key]).long(key.key_arn)


def _state(key: KeyState, facts: Facts) -> Cell:
    sign, words = state_words(key, facts.moment)
    return words, "" if sign.style == "$success" else sign.style


def _material(key: KeyState, facts: Facts) -> Cell:
    return _known(facts.key_words.generation(key.key_arn, key.current_material_id))


def _tokens(key: KeyState, facts: Facts) -> Cell:
    count = tokens_under(key, facts)
    return ("?", "$disabled") if count is None else (f"{count:,}", "bold" if count else "$muted")


def _ago(moment: datetime | None, facts: Facts, style: str = "") -> Cell:
    return (ago(moment, facts.moment), style) if moment else UNKNOWN


def _created(key: KeyState, facts: Facts) -> Cell:
    return _ago(key.created_at, facts, "$muted")


def _known(text: str | None) -> Cell:
    return (text, "") if text else UNKNOWN


COLUMNS: tuple[Column[KeyState], ...] = (
    Column("name", "key", lambda key, _: (_name(key), "bold"), "name", 24, 48, 0),
    Column("state", "state", _state, "state", 16, 20, 1),
    Column("spec", "spec", lambda key, _: _known(key.spec), "spec", 17, 20, 6),
    Column("rotation", "rotation", lambda key, _: rotation_words(key), "rotation", 9, 10, 3),
    Column("material", "material", _material, "", 8, 10, 7),
    Column("tokens", "tokens", _tokens, "tokens", 8, 12, 2, right=True),
    Column("used", "last used", lambda key, facts: _ago(key.last_used_at, facts), "used", 9, 12, 4),
    Column("region", "Region", lambda key, _: (key.region, ""), "region", 12, 16, 8, shown=False),
    Column("origin", "origin", lambda key, _: _known(key.origin), "origin", 10, 16, 9, shown=False),
    Column("created", "created", _created, "created", 8, 12, 10, shown=False),
)


def _moment(moment: datetime | None) -> float | None:
    return moment.astimezone(UTC).timestamp() if moment else None


_ROTATES = {True: "on", False: "off", None: "unknown"}

ROWS: MemoryRows[KeyState] = MemoryRows(
    lambda facts: facts.keys.value or (),
    {
        Field("name"): lambda key, _: key.aliases or (key.name,),
        Field("key"): lambda key, _: (key.key_arn, key.key_arn.rsplit("/", 1)[-1], *key.aliases),
        Field("state"): lambda key, _: key.state,
        Field("spec"): lambda key, _: key.spec,
        Field("origin"): lambda key, _: key.origin,
        Field("manager"): lambda key, _: key.manager,
        Field("region"): lambda key, _: key.region,
        Field("rotation", values=tuple(_ROTATES.values())): lambda key, _: _ROTATES[key.rotation_enabled],
        Field("tokens", ValueKind.NUMBER): tokens_under,
        Field("created", ValueKind.DATE): lambda key, _: key.created_at,
        Field("used", ValueKind.DATE): lambda key, _: key.last_used_at,
    },
    identity=lambda key: f"{key.name} {key.key_arn}",
    free=("name", "key", "state", "spec", "region"),
    sorts={
        "name": lambda key, _: key.name,
        "state": lambda key, _: key.state,
        "spec": lambda key, _: key.spec,
        "rotation": lambda key, _: key.rotation_period_days if key.rotation_enabled else None,
        "tokens": tokens_under,
        "used": lambda key, _: _moment(key.last_used_at),
        "region": lambda key, _: key.region,
        "origin": lambda key, _: key.origin,
        "created": lambda key, _: _moment(key.created_at),
    },
)


ROWS.fields["alias"] = ROWS.fields["name"]

LISTING: Listing[KeyState] = Listing(
    name="keys",
    columns=COLUMNS,
    source=ROWS,
    fields=ROWS.fields,
    sort="tokens",
    descending=True,
    identity=lambda key: key.key_arn,
    reference=lambda key: key.key_arn,
    sign=lambda key, facts: state_words(key, facts.moment)[0],
    record=lambda key: key.as_json(),
    one="key",
    many="keys",
    nothing="KMS shows no key to this identity in this Region.\n"
    "Listing takes kms:ListKeys and kms:DescribeKey. Is the Region right? c chooses another.",
)
EXAMPLE = "state:Disabled rotation:off -name:*reports*"

"""From a key: its use, by operation, principal, material and error, in each of its Regions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from threading import Event

from crypto_core.lists.coverage import Coverage
from crypto_core.trail.query import Aliases
from crypto_core.trail.store import EventStore
from crypto_core.trail.store.tallies import Day, Tallies, tallied
from crypto_core.trail.use.filter_builder import NamedKeys, named_keys, term
from crypto_core.trail.use.reach import Covered, reach
from crypto_core.trail.use.tokens import OPENED
from crypto_core.values.json_records import JsonRecord, shape
from crypto_core.values.key_names import region_of

MOST = 100
_CALLED = {
    "name": "operation",
    "ip": "source_ip",
    "error": "error_code",
    "key": "key_arns",
    "material": "material_ids",
}


@dataclass(frozen=True, slots=True)
class KeyUseSummary(JsonRecord):
    """Every event about a key, its replicas together; `replicas` tells them apart.

    `failed` are among `events`, `denied` among these. `by_alias` further events name an alias of it alone,
    which may have been another key's then: they are not among `events`. `opened` are the calls that opened
    something, `explained` those of them that a receipt explains, None where the store has no receipts.
    """

    keys: NamedKeys
    events: int
    failed: int
    denied: int
    by_service: int
    by_alias: int
    opened: int
    explained: int | None
    first: datetime | None
    last: datetime | None
    operations: Tallies
    principals: Tallies
    materials: Tallies
    errors: Tallies
    replicas: Tallies
    days: tuple[Day, ...]
    filter: str
    coverage: Coverage

    json_shape = shape(
        "key=keys.name key_arns=keys.arns regions aliases=keys.aliases events failed denied by_service "
        "by_alias_alone=by_alias opened explained_by_receipts=explained first? last? operations principals "
        "materials errors replicas days filter coverage",
        regions=lambda use: {region for arn in use.keys.arns if (region := region_of(arn))},
        **tallied(_CALLED, "operations", "principals", "materials", "errors", "replicas"),
    )


def known_keys(store: EventStore, *, cancelled: Event | None = None) -> tuple[str, ...]:
    """Return the ARNs of all keys that the store's events name."""
    found = store.pivot("key", limit=100_000, cancelled=cancelled)
    return tuple(value.text for value in found.values if value.text.startswith("arn:"))


@dataclass(frozen=True, slots=True)
class KeyUses:
    """Tells the use of keys. Blocks on the store; the aliases may be asked of KMS once."""

    store: EventStore
    aliases: Aliases
    covered: Covered

    def use_of(self, key: str, since: datetime | None, cancelled: Event | None) -> KeyUseSummary:
        """Return a key's use since a moment. Raises SettingsError, KeyNotFoundError, EventStoreError."""
        keys = named_keys([key], self.aliases, known_keys(self.store, cancelled=cancelled))
        window = f" since:{since.isoformat()}" if since else ""
        expression = keys.filter + window

        def by(*fields: str, more: str = "") -> Tallies:
            return self.store.tally(fields, f"{expression}{more}", limit=MOST, cancelled=cancelled)

        whole = next(iter(by().rows), None)
        named = set(keys.aliases)
        alone = Tallies()
        if named:
            alone = self.store.tally(
                ("key",), term("key", *sorted(named)) + window, limit=10_000, cancelled=cancelled
            )
        return KeyUseSummary(
            keys=keys,
            events=whole.events if whole else 0,
            failed=whole.failed if whole else 0,
            denied=whole.denied if whole else 0,
            by_service=by(more=" service").events,
            opened=by(more=f" {OPENED}").events,
            explained=by(more=f" {OPENED} explained").events if self.store.receipts() else None,
            by_alias=sum(row.events for row in alone.rows if row.texts[0] in named),
            first=whole.first if whole else None,
            last=whole.last if whole else None,
            operations=by("name"),
            principals=by("principal"),
            materials=by("material"),
            errors=by("error", more=" failed"),
            replicas=by("key", "region"),
            days=self.store.by_day(expression, cancelled=cancelled),
            filter=expression,
            coverage=reach(self.store, self.covered, since, None, cancelled=cancelled),
        )

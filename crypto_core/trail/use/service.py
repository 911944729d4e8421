"""What screens and commands ask about use: one service over the store, the inventory and the keys."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime
from threading import Event

from crypto_core.database.tokens.backups import Replaced
from crypto_core.database.tokens.inventory import Inventory, InventoryRow
from crypto_core.keys.service import StatusService
from crypto_core.references import TokenRef
from crypto_core.trail.query import Aliases
from crypto_core.trail.store import EventStore
from crypto_core.trail.use.keys import KeyUses, KeyUseSummary
from crypto_core.trail.use.named_use import NamedUse
from crypto_core.trail.use.opened_tokens import OpenedTokens, OpenedTokenSearch
from crypto_core.trail.use.radius import BlastRadii, BlastRadius
from crypto_core.trail.use.reach import Covered, not_recorded
from crypto_core.trail.use.receipted import ValueSearch
from crypto_core.trail.use.token_timeline import TokenTimeline
from crypto_core.trail.use.tokens import Remembered, TokenTimelines


@dataclass(frozen=True, slots=True)
class EventUse:
    """From a token, a key or a principal to its events. Thread-safe; every call may block and raise
    EventStoreError, InterruptedRunError.

    `row`, `asked`, `replaced` and `backups` read the database; see TokenTimelines and BlastRadii. `coverage`
    says what of a period the store's events are known to cover. `values` finds stored values by what receipts
    have of them; without it, receipts that name no row are told as such.
    """

    store: EventStore
    _: KW_ONLY
    row: Callable[[TokenRef], InventoryRow]
    asked: Callable[[TokenRef], InventoryRow]
    replaced: Callable[[TokenRef], Sequence[Replaced]]
    census: StatusService
    inventory: Inventory
    backups: Callable[[str], int]
    aliases: Aliases
    coverage: Covered = not_recorded
    values: ValueSearch | None = None
    remembered: Remembered = field(default_factory=Remembered, compare=False)

    def token_timeline(self, ref: TokenRef, *, cancelled: Event | None = None) -> TokenTimeline:
        """Return facts and possibilities about a token's use. Raises InvalidReferenceError."""
        return self._timelines.timeline_of(ref, cancelled)

    def receipted_use(self, ref: TokenRef) -> NamedUse | None:
        """Return what receipts say of a token; None where there are none, or no store. Makes none."""
        if not self.store.file.path.exists():
            return None
        found = self._timelines.receipted_use(ref, [])
        return found.use if found is not None else None

    def key_use(
        self, key: str, *, since: datetime | None = None, cancelled: Event | None = None
    ) -> KeyUseSummary:
        """Return a key's use, its replicas together and apart. Raises SettingsError, KeyNotFoundError."""
        return KeyUses(self.store, self.aliases, self.coverage).use_of(key, since, cancelled)

    def blast_radius(self, principal: str, *, cancelled: Event | None = None) -> BlastRadius:
        return self._radii.radius_of(principal, cancelled)

    def tokens_opened(
        self, principal: str, *, since: datetime | None = None, cancelled: Event | None = None
    ) -> OpenedTokens:
        """Name the tokens opened since a moment. Raises RefusedError for too many, DatabaseError."""
        found = OpenedTokenSearch(self._radii, self.store, self.inventory)
        return found.opened_by(principal, since, cancelled)

    @property
    def _timelines(self) -> TokenTimelines:
        return TokenTimelines(
            *(self.store, self.row, self.asked, self.replaced, self.coverage, self.values, self.remembered)
        )

    @property
    def _radii(self) -> BlastRadii:
        return BlastRadii(self.store, self.census, self.inventory, self.backups, self.coverage, self.values)

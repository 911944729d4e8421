"""What screens and commands ask about use: one service over the store, the inventory and the keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime
from threading import Event

from crypto_core.database.tokens.backups import Replaced
from crypto_core.database.tokens.inventory import Inventory, InventoryRow
from crypto_core.keys.service import StatusService
from crypto_core.trail.query import Aliases
from crypto_core.trail.store import EventStore
from crypto_core.trail.use.filter_builder import term
from crypto_core.trail.use.keys import KeyUses, KeyUseSummary
from crypto_core.trail.use.named_use import NamedUse
from crypto_core.trail.use.radius import BlastRadii, BlastRadius
from crypto_core.trail.use.reach import Covered, not_recorded
from crypto_core.trail.use.receipt_coverage import ValueSearch
from crypto_core.trail.use.token_timeline import TokenTimeline
from crypto_core.trail.use.tokens import OPENED, StoreAnswers, TokenTimelines
from crypto_core.values.clean_text import clean, cleans
from crypto_core.values.counts import counted
from crypto_core.values.errors import InvalidReferenceError, RefusedError
from crypto_core.values.json_records import JsonRecord, shape
from crypto_core.values.references import TokenRef, parse_reference

MOST = 10_000


@dataclass(frozen=True, slots=True)
@cleans(principal=700, gaps=1_000)
class OpenedTokens(JsonRecord):
    """Facts: tokens `named` by records (v2) or `receipted`; and `possible` ones, v1, without a receipt."""

    principal: str
    since: datetime | None
    named: tuple[TokenRef, ...]
    receipted: tuple[TokenRef, ...]
    possible: tuple[TokenRef, ...]
    gaps: tuple[str, ...]

    json_shape = shape("... opened=named opened_by_receipt=receipted could_have_been_opened=possible gaps")

    @property
    def references(self) -> tuple[TokenRef, ...]:
        return tuple(sorted({*self.named, *self.receipted, *self.possible}))

    @property
    def summary(self) -> str:
        since = f" since {self.since.isoformat(timespec='seconds')}" if self.since else ""
        return (
            f"opened by {self.principal}{since}: {len(self.named):,} named by CloudTrail, "
            f"{len(self.receipted):,} by receipts, {len(self.possible):,} v1 that could have been"
        )

    @property
    def lines(self) -> tuple[str, ...]:
        facts = f"{counted(len(self.named), 'token')} opened: CloudTrail names the row (v2). That is a fact."
        number = counted(len(self.possible), "token")
        could = f"{number} could have been opened: v1, under the key material that it used."
        if not self.receipted:
            return (facts, could, *self.gaps)
        number = counted(len(self.receipted), "token")
        told = (
            f"{number} opened: receipts of the calls name them. A fact, as far as the callers are truthful."
        )
        return (facts, told, could, *self.gaps)


@dataclass(frozen=True, slots=True)
class OpenedTokenSearch:
    """Names them. Blocks on the store, SQL and, for the census, KMS."""

    radii: BlastRadii
    store: EventStore
    inventory: Inventory

    def opened_by(self, principal: str, since: datetime | None, cancelled: Event | None) -> OpenedTokens:
        """Name tokens opened or in reach. Raises RefusedError if too many, EventStoreError, DatabaseError."""
        radius = self.radii.radius_of(principal, cancelled, since)
        found = self.store.tally(
            ("token",), f"{radius.who.filter} {OPENED} token:*", limit=MOST + 1, cancelled=cancelled
        )
        named: set[TokenRef] = set()
        unread = 0
        for row in found.rows:
            try:
                ref = parse_reference(row.texts[0])
            except InvalidReferenceError:
                ref = None
            if isinstance(ref, TokenRef):
                named.add(ref)
            else:
                unread += 1
        possible: set[TokenRef] = set()
        for expression in _filters(radius):
            for page in self.inventory.references(expression, cancelled=cancelled):
                possible.update(page)
                _bounded(named, possible, radius)
        _bounded(named, possible, radius)
        gaps = list(radius.coverage.reasons)
        if unread:
            gaps.append(f"{counted(unread, 'record')} name a token in a way that can't be read.")
        if radius.unknown_key:
            gaps.append(f"v1 tokens whose key is not known may be among them: {radius.unknown_key:,}.")
        gaps += radius.receipted.lines
        receipted = radius.receipted.references - named
        return OpenedTokens(
            clean(principal, 700),
            since,
            tuple(sorted(named)),
            tuple(sorted(receipted)),
            tuple(sorted(possible - named - receipted)),
            tuple(gaps),
        )


def _filters(radius: BlastRadius) -> Iterator[str]:
    """What lists the v1 tokens in reach, those of which KMS does not tell the material among them."""
    for one in radius.could:
        yield one.filter
        if one.untold:
            yield f"format:v1 {term('key', one.key_arn.rsplit('/', 1)[-1])} -material:*"


def _bounded(named: set[TokenRef], possible: set[TokenRef], radius: BlastRadius) -> None:
    if len(named | possible) > MOST:
        filters = " or ".join(f"--filter '{one.filter}'" for one in radius.could)
        raise RefusedError(
            f"More than {MOST:,} tokens were or could have been opened: too many to be named one by one.",
            remedy=f"Declare incidents by filter: {filters}." if filters else "Choose a later --since.",
        )


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
    remembered: StoreAnswers = field(default_factory=StoreAnswers, compare=False)

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

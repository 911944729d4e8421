"""Finds what CloudTrail and receipts tell of one token: see token_timeline.py."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from threading import Event
from time import monotonic
from typing import Any, TypeVar

from crypto_core.database.tokens.backups import Replaced
from crypto_core.database.tokens.inventory import InventoryRow
from crypto_core.database.tokens.value_hashes import ValueHash
from crypto_core.keys.key_uses import OPENS, READS, REWRAPS
from crypto_core.lists.coverage import Coverage, Evidence
from crypto_core.trail.store import EventStore
from crypto_core.trail.store.tallies import EventTally, Tallies
from crypto_core.trail.use import token_timeline
from crypto_core.trail.use.filter_builder import asked_as, term
from crypto_core.trail.use.named_use import NamedUse, named_use
from crypto_core.trail.use.reach import Covered, reach
from crypto_core.trail.use.receipt_coverage import ReceiptedUse, ValueSearch, covers_of, unplaced_calls
from crypto_core.values.errors import DatabaseError, KmsError, MissingSchemaError
from crypto_core.values.key_names import same_key
from crypto_core.values.references import TokenRef

SECONDS = 60.0
"""So long an answer is remembered at most: what tokens are stored may change without the events."""
_T = TypeVar("_T")


class StoreAnswers:
    """Answers about one store, until it changes. Several threads may ask: at worst, each is answered anew."""

    def __init__(self) -> None:
        self._state: tuple[Hashable, ...] = ()
        self._answers: dict[Hashable, Any] = {}

    def once(self, store: EventStore, question: Hashable, answer: Callable[[], _T]) -> _T:
        """Return what was answered to a question, or the answer. Raises what `answer` does."""
        state = (*store.state(), monotonic() // SECONDS)
        if state != self._state:
            self._state, self._answers = state, {}
        known = self._answers
        if question not in known:
            known[question] = answer()
        found: _T = known[question]
        return found


ALL = 5_000
"""Groups looked at, to tell the source of a ReEncrypt from its destination."""
READ = f"name:{','.join(READS)} -failed"
REWRAPPED = f"name:{','.join(REWRAPS)} -failed"
"""What moved something under another key: whoever may decrypt there opens it."""
OPENED = f"name:{','.join(sorted(OPENS))} -failed"
UNNAMED = f"{OPENED} -token:* -receipt:*"


@dataclass(frozen=True, slots=True)
class TokenTimelines:
    """Tells them. Blocks on SQL and on the store; asks AWS nothing of its own.

    `row` reads a token's row, `asked` does after it has asked KMS which key sealed it. `replaced` reads how
    it was stored before. All may raise DatabaseError.
    """

    store: EventStore
    row: Callable[[TokenRef], InventoryRow]
    asked: Callable[[TokenRef], InventoryRow]
    replaced: Callable[[TokenRef], Sequence[Replaced]]
    covered: Covered
    values: ValueSearch | None = None
    """Finds what is and was stored by its SHA-256; without it, only receipts that name the row count."""
    remembered: StoreAnswers = field(default_factory=StoreAnswers, compare=False)

    def timeline_of(self, ref: TokenRef, cancelled: Event | None) -> token_timeline.TokenTimeline:
        """Return what is known of one token. Where the database does not tell, that is in the coverage.

        Raises InvalidReferenceError, EventStoreError, InterruptedRunError.
        """
        gaps: list[str] = []
        row: InventoryRow | None = None
        before: tuple[Replaced, ...] = ()
        try:
            row = self.row(ref)
            if token_timeline.unnamed(row.format) and row.key_arn is None:
                row = self.asked(ref)
        except (DatabaseError, KmsError) as error:
            gaps.append(f"How the token is stored is not known: {error}")
        try:
            before = tuple(self.replaced(ref))
        except MissingSchemaError:
            pass  # without its schema Keydeck has replaced nothing
        except DatabaseError as error:
            gaps.append(f"How the token was stored before is not known: {error}")
        named = self._named(ref, cancelled)
        receipted = self.receipted_use(ref, gaps, cancelled)
        could = tuple(self._could(row, before, cancelled))
        since = row.created_at if row else None
        told = reach(self.store, self.covered, since, None, cancelled=cancelled)
        if row is not None and token_timeline.unnamed(row.format) and row.key_arn is None:
            gaps.append(f"Which key sealed it is not known ({row.evidence.value}): keydeck inspect {ref}")
        reasons = tuple(dict.fromkeys((*gaps, *told.reasons)))
        statements = tuple(token_timeline.statements_about(row, before, named, receipted, could))
        return token_timeline.TokenTimeline(ref, row, named, receipted, could, statements, Coverage(reasons))

    def _named(self, ref: TokenRef, cancelled: Event | None) -> NamedUse:
        expression = term("token", str(ref))
        found = self.store.tally(
            ("token", "name", "principal", "ip", "error"), expression, limit=ALL, cancelled=cancelled
        )
        # Filters don't tell upper from lower case; references do.
        rows = [replace(r, texts=r.texts[1:]) for r in found.rows if r.texts[0] == str(ref)]
        others = [r for r in found.rows if r.texts[0] != str(ref)]
        found = Tallies(found.fields[1:], tuple(rows), found.others, found.rest)
        days = () if others or not rows else self.store.by_day(expression, cancelled=cancelled)
        return named_use(found, days, expression)

    def receipted_use(
        self, ref: TokenRef, gaps: list[str], cancelled: Event | None = None
    ) -> ReceiptedUse | None:
        """Return what receipts say of the token, None without any; add what the database hides to `gaps`."""
        reached = self.store.receipts()
        if reached is None:
            return None
        values: Sequence[ValueHash] = ()
        try:
            values = self.values.of_token(ref) if self.values is not None else ()
        except DatabaseError as error:
            gaps.append(f"Receipts about stored values are not counted: {error}")
        now = [one.sha256 for one in values if one.replaced_at is None]
        older = [one.sha256 for one in values if one.sha256 not in now]
        # What a context names is told by that: here is what receipts alone tell.
        expression = f"{term('receipt', str(ref), *now, *older)} -token:*"
        found = self.store.tally(
            ("name", "principal", "ip", "error"), expression, limit=ALL, cancelled=cancelled
        )
        days = self.store.by_day(expression, cancelled=cancelled) if found.rows else ()
        of_older = 0
        if older:
            before = self.store.tally((), f"{term('receipt', *older)} -token:*", cancelled=cancelled)
            of_older = before.events
        opened = f"{OPENED} -token:*"
        covers = self.remembered.once(
            self.store, opened, lambda: tuple(covers_of(self.store, opened, cancelled))
        )
        return ReceiptedUse(
            *(named_use(found, days, expression), of_older, reached, covers),
            confirmed=self.store.request_ids_confirmed(),
        )

    def _could(
        self, row: InventoryRow | None, before: Sequence[Replaced], cancelled: Event | None
    ) -> Iterator[token_timeline.MaterialUse]:
        since = row.created_at if row else None
        stored: list[tuple[InventoryRow | Replaced, Evidence, datetime | None]] = []
        if row is not None:
            stored.append((row, row.evidence, None))
        stored += [(old, Evidence.VERIFIED, old.replaced_at) for old in before]
        done: set[tuple[str, str | None]] = set()
        for one, evidence, replaced_at in stored:
            key, material = one.key_arn, one.key_material_id
            if token_timeline.unnamed(one.format) and key and (key, material) not in done:
                done.add((key, material))
                yield self._material(key, material, evidence, since, replaced_at, cancelled)

    def _material(
        self,
        key_arn: str,
        material: str | None,
        evidence: Evidence,
        since: datetime | None,
        replaced_at: datetime | None,
        cancelled: Event | None,
    ) -> token_timeline.MaterialUse:
        expression = f"{UNNAMED} {term('key', asked_as(key_arn))}"
        if since is not None:
            expression += f" since:{since.isoformat()}"
        found = self.store.tally(
            ("principal", "name", "key", "material"), expression, limit=ALL, cancelled=cancelled
        )
        by: dict[str, EventTally] = {}
        without = 0
        for one in found.rows:
            principal, _, keys, materials = one.texts
            source, used = opened_with(keys, materials)
            if not same_key(source, key_arn) or (material is not None and used not in ("", material)):
                continue
            if material is not None and not used:
                without += one.events
            by[principal] = joined(by.get(principal), replace(one, texts=(principal,)))
        ordered = tuple(sorted(by.values(), key=lambda t: (-t.events, t.texts)))
        explained, unplaced = self._explained(key_arn, material, since, cancelled)
        if material is not None:
            expression += f" {term('material', material)}"
        return token_timeline.MaterialUse(
            key_arn,
            material,
            evidence,
            since,
            replaced_at,
            ordered,
            sum(t.events for t in ordered),
            without,
            explained,
            unplaced,
            min((t.first for t in ordered), default=None),
            max((t.last for t in ordered), default=None),
            expression,
        )

    def _explained(
        self, key_arn: str, material: str | None, since: datetime | None, cancelled: Event | None
    ) -> tuple[int, int]:
        expression = f"{OPENED} -token:* receipt:* {term('key', asked_as(key_arn))}"
        if since is not None:
            expression += f" since:{since.isoformat()}"
        found = self.store.tally(("key", "material"), expression, limit=ALL, cancelled=cancelled)
        explained = sum(
            one.events
            for one in found.rows
            for source, used in [opened_with(*one.texts)]
            if same_key(source, key_arn) and (material is None or used in ("", material))
        )
        if not explained or self.values is None:
            return explained, 0
        # Of all times: for every token under the material it is the same then.
        everything = f"{OPENED} -token:* receipt:* {term('key', asked_as(key_arn))}"
        if material is not None:
            everything += f" {term('material', material)}"
        values = self.values
        try:
            unplaced = self.remembered.once(
                self.store, everything, lambda: unplaced_calls(self.store, values, everything, cancelled)
            )
        except DatabaseError:
            return explained, 0  # that values can't be looked up is a gap already
        return explained, min(unplaced, explained)


def opened_with(keys: str, materials: str) -> tuple[str, str]:
    """Return the key and the material that a call opened with, of the texts that the store keeps.

    The source stands before the destination. Where only one of two materials is told, it is not known whose.
    """
    arns, used = keys.split(" "), materials.split(" ")
    if len(arns) > 1 and len(used) == 1:
        return arns[0], ""
    return arns[0], used[0]


def joined(one: EventTally | None, other: EventTally) -> EventTally:
    """Return the tally of two groups together, called as the second one."""
    if one is None:
        return other
    return EventTally(
        other.texts,
        one.events + other.events,
        one.failed + other.failed,
        one.denied + other.denied,
        min(one.first, other.first),
        max(one.last, other.last),
    )

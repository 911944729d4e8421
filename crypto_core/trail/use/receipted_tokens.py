"""The tokens that receipts say a principal's calls were for, values resolved to the rows that have them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from threading import Event
from typing import Protocol

from crypto_core.database.tokens.value_hashes import ValueHash, ValuePlace
from crypto_core.errors import InvalidReferenceError
from crypto_core.references import TokenRef, parse_reference
from crypto_core.text.counting import counted
from crypto_core.text.json_records import JsonRecord, shape
from crypto_core.trail.store import EventStore
from crypto_core.trail.store.receipt_questions import OpenedSubject

MOST = 10_000


class ValueSearch(Protocol):
    """Finds stored values by their SHA-256. Blocks on SQL, and may raise DatabaseError."""

    def of_token(self, ref: TokenRef) -> tuple[ValueHash, ...]:
        """Return what is and was stored of a token."""

    def places_of(
        self, hashes: Sequence[str], *, cancelled: Event | None = None
    ) -> Mapping[str, tuple[ValuePlace, ...]]:
        """Return where values are or were stored."""


@dataclass(frozen=True, slots=True)
class ReceiptedToken(JsonRecord):
    """A token by receipt; `older` if its value was replaced. Any of `rows` with the value may be meant."""

    ref: TokenRef
    calls: int
    first: datetime
    last: datetime
    older: bool = False
    rows: int = 1

    json_shape = shape("token_ref=ref calls first? last? older_value=older rows_with_the_value=rows")


@dataclass(frozen=True, slots=True)
class ReceiptedTokens(JsonRecord):
    """Tokens by receipt. `gone` values are in no row; receipts of `nameless` calls name no token or value."""

    tokens: tuple[ReceiptedToken, ...] = ()
    further: int = 0
    gone: int = 0
    gone_calls: int = 0
    nameless: int = 0
    calls: int = 0

    json_shape = shape(
        "tokens calls rows=tokens not_listed=further values_no_longer_stored=gone "
        "calls_of_values_no_longer_stored=gone_calls calls_that_name_no_token=nameless",
        tokens=lambda record: len(record.references),
    )

    @property
    def references(self) -> frozenset[TokenRef]:
        return frozenset(one.ref for one in self.tokens)

    @property
    def lines(self) -> tuple[str, ...]:
        found = []
        if self.gone:
            found.append(
                f"{counted(self.gone, 'value')} that receipts are about are no longer stored: "
                f"{counted(self.gone_calls, 'call')} opened them."
            )
        if self.nameless:
            found.append(f"Receipts of {counted(self.nameless, 'call')} name no stored token.")
        if self.further:
            found.append(f"{self.further:,} more tokens or values are not listed.")
        return tuple(found)


def receipted_tokens(
    store: EventStore, values: ValueSearch | None, expression: str, cancelled: Event | None = None
) -> ReceiptedTokens:
    """Return the tokens that receipts say calls were for. Raises EventStoreError, DatabaseError."""
    told = store.receipt_subjects(expression, limit=MOST, cancelled=cancelled)
    found, further = told.rows, told.others
    hashes = [one.sha256 for one in found if one.sha256]
    places = values.places_of(hashes, cancelled=cancelled) if values is not None and hashes else {}
    tokens: dict[TokenRef, ReceiptedToken] = {}
    gone = gone_calls = nameless = 0
    for one in found:
        if one.token:
            named = _named(one)
            nameless += 0 if named else one.calls
            _add(tokens, named)
        elif one.sha256:
            where = _newest(places.get(one.sha256, ()))
            gone += not where
            gone_calls += 0 if where else one.calls
            _add(tokens, [_told(one, place, len(where)) for place in where])
        else:
            nameless += one.calls
    ordered = sorted(tokens.values(), key=lambda token: (-token.calls, token.ref))
    calls = sum(one.calls for one in found) - nameless
    return ReceiptedTokens(tuple(ordered), further, gone, gone_calls, nameless, calls)


def unplaced_calls(
    store: EventStore, values: ValueSearch, expression: str, cancelled: Event | None = None
) -> int:
    """Return how many calls' receipts name a value that is nowhere, or beyond the MOST frequent."""
    told = store.receipt_subjects(expression, limit=MOST, values_only=True, cancelled=cancelled)
    hashes = [one.sha256 for one in told.rows]
    places = values.places_of(hashes, cancelled=cancelled) if hashes else {}
    return told.rest + sum(one.calls for one in told.rows if one.sha256 not in places)


def _named(one: OpenedSubject) -> list[ReceiptedToken]:
    try:
        ref = parse_reference(one.token)
    except InvalidReferenceError:
        return []
    return [ReceiptedToken(ref, one.calls, one.first, one.last)] if isinstance(ref, TokenRef) else []


def _newest(places: Sequence[ValuePlace]) -> list[ValuePlace]:
    """Where the value is stored now; only where it nowhere is, where it was."""
    now = [place for place in places if place.replaced_at is None]
    return now or list({place.ref: place for place in places}.values())


def _told(one: OpenedSubject, place: ValuePlace, rows: int) -> ReceiptedToken:
    older = place.replaced_at is not None
    return ReceiptedToken(place.ref, one.calls, one.first, one.last, older, rows)


def _add(tokens: dict[TokenRef, ReceiptedToken], more: Sequence[ReceiptedToken]) -> None:
    for one in more:
        known = tokens.get(one.ref)
        tokens[one.ref] = (
            one
            if known is None
            else ReceiptedToken(
                one.ref,
                known.calls + one.calls,
                min(known.first, one.first),
                max(known.last, one.last),
                known.older or one.older,
                max(known.rows, one.rows),
            )
        )

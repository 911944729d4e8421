"""What receipts say of a token, and for which callers and times they say all: coverage is reckoned, not set.

A receipt is a fact as far as it is true: CloudTrail's record of the call with its request id bears it out in
operation and time, but which token it was for, the caller alone says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from threading import Event
from typing import Protocol

from crypto_core.database.tokens.value_hashes import ValueHash, ValuePlace
from crypto_core.trail.store import EventStore
from crypto_core.trail.store.receipt_questions import OpenedSubject, ReceiptExtent
from crypto_core.trail.use.filter_builder import term
from crypto_core.trail.use.named_use import NamedUse
from crypto_core.trail.use.reach import at
from crypto_core.values.clean_text import CleanText
from crypto_core.values.counts import counted
from crypto_core.values.errors import InvalidReferenceError
from crypto_core.values.json_records import JsonRecord, shape
from crypto_core.values.references import TokenRef, parse_reference

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


MOST_PRINCIPALS = 20
FACT = (
    "By receipt: the caller wrote down the request id of a call and the token that it was for; the record of "
    "the call agrees in operation and time. That is a fact, as far as the caller wrote the truth."
)


@dataclass(frozen=True, slots=True)
class ReceiptCover(JsonRecord):
    """The calls of one principal that open something and name no token, held against receipts.

    `since` is its first call with a receipt, `until` the newest receipt in the store; both are None for a
    principal without any, and `without` counts its calls between the two, or all.
    """

    principal: CleanText
    since: datetime | None
    until: datetime | None
    explained: int
    without: int

    json_shape = shape("principal since? until? explained without_receipt=without")

    @property
    def whole(self) -> bool:
        return self.since is not None and not self.without


@dataclass(frozen=True, slots=True)
class ReceiptedUse(JsonRecord):
    """Calls that receipts say were for one token, by its name or by the value that is or was stored.

    Calls whose record names the token are not among them. `of_older` of them were for a value of the token
    that was replaced since. `covers` are principals, those with most calls first.
    """

    use: NamedUse
    of_older: int
    reached: ReceiptExtent
    covers: tuple[ReceiptCover, ...]
    confirmed: Mapping[str, datetime]
    """In which accounts KMS's request id was seen to be CloudTrail's requestID, and when."""

    json_shape = shape(
        "*use of_older_values=of_older receipts=reached request_ids_confirmed=confirmed covered=covers"
    )

    def statements(self) -> Iterator[str]:
        """Say what the receipts tell, and where they don't cover."""
        if self.use.events:
            yield FACT
            yield self._confirmed()
        if self.of_older:
            yield (
                f"{counted(self.of_older, 'call')} of these opened an older value of it, which Keydeck "
                "replaced since."
            )
        yield from cover_statements(self.reached, self.covers)

    def _confirmed(self) -> str:
        if not self.confirmed:
            return (
                "KMS's request id is CloudTrail's: not confirmed in your account. keydeck doctor proves it."
            )
        told = ", ".join(f"account {account} on {at(when)}" for account, when in self.confirmed.items())
        return f"KMS's request id is CloudTrail's: confirmed in {told}."


def covers_of(store: EventStore, opened: str, cancelled: Event | None = None) -> Iterator[ReceiptCover]:
    """Yield how far receipts cover a filter's openings, by principal. Raises EventStoreError."""
    reached = store.receipts()
    if reached is None:
        return
    found = store.tally(("principal",), f"{opened} receipt:*", limit=MOST_PRINCIPALS, cancelled=cancelled)
    known = {row.texts[0] for row in found.rows}
    until = reached.last
    for row in found.rows:
        own = term("principal", row.texts[0]) if row.texts[0] else "-principal:*"
        begin, end = (one.isoformat() for one in (row.first, until))
        missing = f"{opened} -receipt:* {own} since:{begin} until:{end}"
        without = store.tally((), missing, limit=1, cancelled=cancelled).events
        yield ReceiptCover(row.texts[0], row.first, until, row.events, without)
    span = f"since:{reached.first.isoformat()} until:{until.isoformat()}"
    others = store.tally(
        ("principal",), f"{opened} -receipt:* {span}", limit=MOST_PRINCIPALS, cancelled=cancelled
    )
    for row in others.rows:
        if row.texts[0] not in known:
            yield ReceiptCover(row.texts[0], None, None, 0, row.events)


def cover_statements(reached: ReceiptExtent, covers: tuple[ReceiptCover, ...]) -> Iterator[str]:
    """Say for which times and callers receipts cover, and for which they don't."""
    whole = [one for one in covers if one.whole]
    for one in whole:
        yield (
            f"Receipts cover {one.principal or 'calls without a principal'} from {at(one.since)} to "
            f"{at(one.until)}: each of its {counted(one.explained, 'call')} then has one."
        )
    for one in covers:
        name = one.principal or "Calls without a principal"
        if one.since is not None and one.without:
            yield (
                f"Receipts don't cover {name}: {counted(one.without, 'call')} since its first receipt at "
                f"{at(one.since)} have none."
            )
        elif one.since is None:
            yield f"{name} writes no receipts: {counted(one.without, 'call')} while others wrote them."
    if reached.lost:
        yield f"Processes lost {counted(reached.lost, 'receipt')}: the calls of then may have none."
    yield (
        f"Before {at(reached.first)} and after {at(reached.last)} receipts cover nothing: what opened it "
        "then is a possibility."
    )

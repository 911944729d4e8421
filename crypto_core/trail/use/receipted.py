"""What receipts say of a token, and for which callers and times they say all: coverage is reckoned, not set.

A receipt is a fact as far as it is true: CloudTrail's record of the call with its request id bears it out in
operation and time, but which token it was for, the caller alone says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from threading import Event

from crypto_core.text.cleaning import CleanText
from crypto_core.text.counting import counted
from crypto_core.text.json_records import JsonRecord, shape
from crypto_core.trail.store import EventStore
from crypto_core.trail.store.receipt_questions import ReceiptExtent
from crypto_core.trail.use.asking import term
from crypto_core.trail.use.named_use import NamedUse
from crypto_core.trail.use.reach import at

MOST = 20
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
    found = store.tally(("principal",), f"{opened} receipt:*", limit=MOST, cancelled=cancelled)
    known = {row.texts[0] for row in found.rows}
    until = reached.last
    for row in found.rows:
        own = term("principal", row.texts[0]) if row.texts[0] else "-principal:*"
        begin, end = (one.isoformat() for one in (row.first, until))
        missing = f"{opened} -receipt:* {own} since:{begin} until:{end}"
        without = store.tally((), missing, limit=1, cancelled=cancelled).events
        yield ReceiptCover(row.texts[0], row.first, until, row.events, without)
    span = f"since:{reached.first.isoformat()} until:{until.isoformat()}"
    others = store.tally(("principal",), f"{opened} -receipt:* {span}", limit=MOST, cancelled=cancelled)
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

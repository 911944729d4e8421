"""From a token: who opened it. Three classes, never mixed: facts by context, facts by receipt, possibilities.

The encryption context of a v2 envelope names the row, and CloudTrail records it. A v1 envelope has none: no
record says which token was opened, only the key, its material, who and when. Where the caller wrote a receipt
of the call, that names the token; the rest is what could have opened it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from crypto_core.database.tokens.backups import Replaced
from crypto_core.database.tokens.inventory import InventoryRow
from crypto_core.envelope import Format
from crypto_core.lists.coverage import Coverage, Evidence
from crypto_core.trail.store.tallies import EventTally, Tallies
from crypto_core.trail.use.named_use import NamedUse
from crypto_core.trail.use.reach import at
from crypto_core.trail.use.receipt_coverage import ReceiptedUse
from crypto_core.values.clean_text import cleans
from crypto_core.values.counts import counted
from crypto_core.values.json_records import JsonRecord, shape
from crypto_core.values.references import TokenRef

NAMED = "The encryption context of its envelope names its row, so these events are about this very token."
UNNAMED = (
    "CloudTrail can't name this token: a v1 envelope has no encryption context. Listed as possible is "
    "every call that opened something under its key material and that neither a record nor a receipt "
    "names the token of: this token, or another."
)
UNSEALED = {
    Format.PLAINTEXT: "It is stored in plaintext: reading it takes no call of KMS, so CloudTrail says "
    "nothing.",
    Format.DEV: "It is in dev format, under a key that is public: opening it takes no call of KMS, so "
    "CloudTrail says nothing.",
    Format.UNRECOGNISED: "It is stored as plaintext or damaged: CloudTrail can't say who reads it.",
    Format.EMPTY: "It is empty: there is nothing to open.",
}


@dataclass(frozen=True, slots=True)
class MaterialUse(JsonRecord):
    """Calls that opened something under a key material, of a token that nothing names: possibilities.

    `without_material` of the calls are under the key, and their records don't tell the material. `explained`
    are further calls, of which a receipt names the token: this one's among them are facts, the others are of
    other tokens. `unplaced` of those were for values that are stored nowhere now and nowhere kept: an earlier
    value of this token may be among them.
    """

    key_arn: str
    key_material_id: str | None
    evidence: Evidence
    since: datetime | None
    """When the token can have been sealed at the earliest; None where that isn't known."""
    replaced_at: datetime | None
    """When Keydeck replaced this envelope; None for the one that is stored now."""
    by: tuple[EventTally, ...]
    calls: int
    without_material: int
    explained: int
    unplaced: int
    first: datetime | None
    last: datetime | None
    filter: str
    """Lets these events through, and those that ReEncrypt brought under the key."""

    json_shape = shape(
        "key_arn key_material_id evidence since? replaced_at? calls without_material "
        "explained_by_receipts=explained of_values_no_longer_stored=unplaced first? last? by filter",
        by=lambda record: Tallies(("principal",), record.by).as_json()["rows"],
    )


@dataclass(frozen=True, slots=True)
class TokenTimeline(JsonRecord):
    """What is known of one token's use. `named` and `receipted` are facts, `could` is what could have been.

    `receipted` is None where the store has no receipts. `statements` say in words which is which. `stored` is
    None where the row is not there or can't be read.
    """

    ref: TokenRef
    stored: InventoryRow | None
    named: NamedUse
    receipted: ReceiptedUse | None
    could: tuple[MaterialUse, ...]
    statements: tuple[str, ...]
    coverage: Coverage

    json_shape = shape(
        "reference=ref format=stored.format key_arn=stored.key_arn key_material_id=stored.key_material_id "
        "evidence=stored.evidence created_at=stored.created_at exact=named by_receipt=receipted "
        "could_have_opened=could statements coverage"
    )


def unnamed(format_: Format) -> bool:
    """True for envelopes that CloudTrail can't name: their data keys are sealed without their row."""
    return format_.protected and not format_.binds_row


def statements_about(
    row: InventoryRow | None,
    before: Sequence[Replaced],
    named: NamedUse,
    receipted: ReceiptedUse | None,
    could: Iterable[MaterialUse],
) -> Iterator[str]:
    format_ = row.format if row else None
    if format_ in UNSEALED:
        yield UNSEALED[format_]
    if named.events:
        yield NAMED
        if format_ is not None and not format_.binds_row:
            yield (
                f"It is stored as {format_.value} now, and was bound to its row before: "
                f"{counted(named.events, 'event')} in the store with its name."
            )
    elif format_ is not None and format_.binds_row:
        yield f"{NAMED} There is none in the store."
    if receipted is not None and (row is None or row.format.protected):
        yield from receipted.statements()
    for use in could:
        if use.replaced_at is None:
            yield UNNAMED
        else:
            yield (
                f"Until {at(use.replaced_at)} it was stored as v1 under {use.key_arn}, of which CloudTrail "
                "can't name the token: for that time, only what could have opened it is listed."
            )
        if use.since is None:
            yield "When it was sealed is not known, so all calls in the store are counted."
        else:
            yield (
                f"Its connection was made at {at(use.since)}; the envelope may be younger. Calls are counted "
                "from then on."
            )
        if use.unplaced:
            yield (
                f"Receipts of {counted(use.unplaced, 'call')} under its key material are about values that "
                "were found in no row: an earlier value of this token may be among them."
            )
        if use.without_material:
            yield f"Records without the key material: {use.without_material:,}; they are counted too."
    if row is not None and row.format.binds_row and not any(unnamed(old.format) for old in before):
        yield "Whether it was stored otherwise before is not known: Keydeck keeps no older envelope of it."


BY_TIME = (
    "That a use came of an opening is inferred from times, addresses and clients: no record joins the two."
)


def short_name(who: str) -> str:
    """Return a principal as a line has room for it: user/ana of its ARN; a name as it is."""
    return who.rsplit(":", 1)[-1] if who.startswith("arn:") else who


class UseCertainty(StrEnum):
    FACT = "fact"
    POSSIBILITY = "possibility"
    """A record fits, and it may be about another token."""


class Doing(StrEnum):
    OPENED = "opened"
    USED = "used"


@dataclass(frozen=True, slots=True)
@cleans(
    who=300, address=100, agent=300, what=300, place=120, event_id=200, provider=40, reason=600, theft=600
)
class TokenDeed(JsonRecord):
    """One entry. `theft` says why it looks like a thief's, `reason` why it is here; `old`: since replaced."""

    at: datetime
    doing: Doing
    certainty: UseCertainty
    who: str
    address: str
    agent: str
    what: str
    place: str
    provider: str
    event_id: str
    reason: str
    theft: str = ""
    old: bool = False

    json_shape = shape(
        "time=at doing certainty who? address? user_agent=agent? what place? provider? event_id reason "
        "looks_like_theft=theft? old_token=old"
    )

    @property
    def words(self) -> str:
        """What happened, in one line without the time."""
        may = "" if self.certainty is UseCertainty.FACT else "may have been "
        by = f"by {short_name(self.who) or 'somebody'} from {self.address or 'an unknown address'}"
        return f"{may}{self.doing.value} {by}: {self.what}" + (f", {self.place}" if self.place else "")


@dataclass(frozen=True, slots=True)
@cleans(provider=40, statements=600)
class TokenUse(JsonRecord):
    """Openings and uses of a token in the order of time. `left_out` are older ones that are not listed."""

    ref: TokenRef
    provider: str
    deeds: tuple[TokenDeed, ...]
    left_out: int
    statements: tuple[str, ...]
    coverage: Coverage

    json_shape = shape(
        "provider? used may_have_been_used=may_have_used look_like_theft timeline=deeds ... -ref",
        look_like_theft=lambda record: len(record.thefts),
    )

    @property
    def used(self) -> int:
        return self._number(UseCertainty.FACT)

    @property
    def may_have_used(self) -> int:
        return self._number(UseCertainty.POSSIBILITY)

    @property
    def thefts(self) -> tuple[TokenDeed, ...]:
        return tuple(one for one in self.deeds if one.theft or one.old)

    def _number(self, certainty: UseCertainty) -> int:
        return sum(one.doing is Doing.USED and one.certainty is certainty for one in self.deeds)

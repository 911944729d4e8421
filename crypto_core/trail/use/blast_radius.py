"""What a principal opened, and what it could have opened: its blast radius, the two told apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from crypto_core.lists.coverage import Coverage
from crypto_core.text.counting import counted
from crypto_core.text.json_records import JsonRecord, shape
from crypto_core.trail.event_fields import SAID
from crypto_core.trail.store.tallies import Tallies, tallied
from crypto_core.trail.use.asking import NamedPrincipals
from crypto_core.trail.use.reach import at
from crypto_core.trail.use.receipted_tokens import ReceiptedTokens


@dataclass(frozen=True, slots=True)
class Reachable(JsonRecord):
    """The v1 tokens that are under a key material now which the principal opened something with.

    `key_material_id` is None where records don't tell the material: then the whole key is meant. `tokens` is
    None where they could not be counted; `filter` lists them in the inventory.
    """

    key_arn: str
    key_material_id: str | None
    calls: int
    first: datetime
    last: datetime
    tokens: int | None
    untold: int
    """Tokens under the key of which KMS does not tell the material: they may be among them."""
    backups: int | None
    """Replaced envelopes under the key that Keydeck keeps; None where that isn't known."""
    filter: str

    json_shape = shape(
        "key_arn key_material_id calls first? last? tokens tokens_with_untold_material=untold "
        "replaced_envelopes_kept=backups filter"
    )


def _tokens_in(name: str) -> Callable[[BlastRadius], dict[str, Any]]:
    def made(radius: BlastRadius) -> dict[str, Any]:
        found: Tallies = getattr(radius, name)
        return {"tokens": tokens_of(found), **found.as_json({"token": "token_ref"})}

    return made


@dataclass(frozen=True, slots=True)
class BlastRadius(JsonRecord):
    """Everything about one principal. Facts by context, facts by receipt, and `could`: what could have been.

    `opened` are the tokens that records name and whose data key it was handed, `receipted` those that the
    receipts of its calls name, `rewrapped` those whose data key it moved under another key, `sealed` those
    whose data key it had as that was made or wrapped, `tried` those that it did not get. `data_keys` it had
    so without a record of the row.
    """

    who: NamedPrincipals
    events: int
    failed: int
    denied: int
    first: datetime | None
    last: datetime | None
    opened: Tallies
    rewrapped: Tallies
    sealed: Tallies
    tried: Tallies
    opened_filter: str
    receipted: ReceiptedTokens
    could: tuple[Reachable, ...]
    calls: int
    """Calls that opened something, of a token that neither record nor receipt names."""
    tokens_reachable: int | None
    """Tokens in reach, with those under the keys of which the material is not told."""
    unknown_key: int | None
    """v1 tokens whose key is not known: they may be in reach too."""
    data_keys: int
    operations: Tallies
    addresses: Tallies
    agents: Tallies
    sessions: Tallies
    access_keys: Tallies
    coverage: Coverage

    json_shape = shape(
        "asked=who.name principals=who.arns further_principals=who.further session=who.session? events "
        "failed denied first? last? opened rewrapped sealed tried opened_filter opened_by_receipt=receipted "
        "could_have_opened data_keys_made=data_keys operations addresses agents sessions access_keys "
        "assumptions coverage",
        could_have_opened=lambda radius: {
            "tokens": radius.tokens_reachable,
            "calls": radius.calls,
            "opened_at_most": radius.opened_at_most,
            "tokens_of_unknown_key": radius.unknown_key,
            "rows": radius.could,
        },
        assumptions=lambda radius: radius.assumptions(),
        **{name: _tokens_in(name) for name in ("opened", "rewrapped", "sealed", "tried")},
        **tallied(SAID, "operations", "addresses", "agents", "sessions", "access_keys"),
    )

    @property
    def opened_at_most(self) -> int | None:
        """How many of the tokens in reach these calls opened at most; none opens two. None if uncounted."""
        return None if self.tokens_reachable is None else min(self.calls, self.tokens_reachable)

    def assumptions(self) -> tuple[str, ...]:
        return tuple(_assumptions(self))


def tokens_of(found: Tallies) -> int:
    """Return how many tokens there are, those that are not told one by one too."""
    return len(found.rows) + found.others


def _assumptions(radius: BlastRadius) -> Iterator[str]:
    yield "Opened: records whose encryption context names the token (v2). Each of these is a fact."
    if radius.receipted.calls:
        yield (
            f"By receipt: of {counted(radius.receipted.calls, 'call')} the caller wrote down the token. Each "
            "is a fact, as far as the caller wrote the truth: which token it was, CloudTrail doesn't say."
        )
        yield from radius.receipted.lines
    if radius.rewrapped.rows:
        yield (
            "Rewrapped: ReEncrypt hands out no plaintext. With its answer, whoever may decrypt under the new "
            "key opens the token."
        )
    if not radius.could:
        yield "It opened nothing in the store of which neither the record nor a receipt names the token."
    else:
        yield (
            "Could have opened: every v1 token that is now under the key materials it used without a receipt "
            "of the token. CloudTrail can't say which of them it was."
        )
        yield (
            "Among them are tokens of connections made after its last call, which it can't have opened then: "
            "narrow the list with -created:>DATE."
        )
        yield (
            "Not counted: tokens that were under these materials then and have since been re-encrypted, "
            "rewrapped or deleted. Backups and dumps of the database hold them still."
        )
        yield (
            "A copy of the database can still be opened after its tokens were re-encrypted: a call needs "
            "the envelope, not the row."
        )
    if len(radius.who.arns) + radius.who.further > 1:
        number = len(radius.who.arns) + radius.who.further
        yield f"The name means {counted(number, 'principal')}: reported together."
    if radius.data_keys:
        yield (
            f"It had {counted(radius.data_keys, 'data key')} made or wrapped without naming a row: it can "
            "open what was sealed with them; no record says which tokens those are."
        )
    if radius.unknown_key:
        yield f"v1 tokens whose key is not known: {radius.unknown_key:,}. They may be in reach too."
    if radius.last is not None:
        yield f"Its last call in the store was at {at(radius.last)}."

"""A principal's blast radius: the tokens that it opened, and apart from them what it could have opened."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import reduce
from threading import Event
from typing import TYPE_CHECKING, Any

from crypto_core.keys.key_uses import HANDS_OUT
from crypto_core.keys.status import Status
from crypto_core.lists.coverage import Coverage
from crypto_core.trail.event_fields import SAID
from crypto_core.trail.store import EventStore
from crypto_core.trail.store.tallies import EventTally, Tallies, tallied
from crypto_core.trail.use.filter_builder import NamedPrincipals, named_principals, term
from crypto_core.trail.use.reach import Covered, at, reach
from crypto_core.trail.use.receipt_coverage import ReceiptedTokens, ValueSearch, receipted_tokens
from crypto_core.trail.use.tokens import ALL, OPENED, READ, REWRAPPED, UNNAMED, joined, opened_with
from crypto_core.values.clean_text import clean
from crypto_core.values.counts import counted
from crypto_core.values.errors import DatabaseError, KmsError, MissingSchemaError
from crypto_core.values.json_records import JsonRecord, shape
from crypto_core.values.key_names import is_key_arn, same_key

if TYPE_CHECKING:
    from crypto_core.database.tokens.inventory import Inventory
    from crypto_core.keys.service import StatusService


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


MOST_TOKENS = 1_000
MOST = 100
HANDED_OUT = f"name:{','.join(HANDS_OUT)} -failed"
"""After what the caller has a data key: of one that is made without its plaintext it has none."""


@dataclass(slots=True)
class _Used:
    """A key that something was opened with, by material; "" is for records that don't tell it."""

    arns: dict[str, None]
    by_material: dict[str, EventTally]


@dataclass(frozen=True, slots=True)
class BlastRadii:
    """Tells them. Blocks on the store, SQL and, for the census, KMS."""

    store: EventStore
    census: StatusService
    """Counts the tokens; its questions to KMS come first, so that filters know the keys."""
    inventory: Inventory
    backups: Callable[[str], int]
    """Counts the replaced envelopes under a key; it may raise DatabaseError."""
    covered: Covered
    values: ValueSearch | None = None

    def radius_of(self, name: str, cancelled: Event | None, since: datetime | None = None) -> BlastRadius:
        """Return a principal's blast radius, ever or `since`. Raises EventStoreError, InterruptedRunError."""
        who = named_principals(self.store, name, cancelled=cancelled)
        if since is not None:
            who = replace(who, filter=f"{who.filter} since:{since.isoformat()}")

        def by(*fields: str, more: str = "") -> Tallies:
            return self.store.tally(fields, f"{who.filter}{more}", limit=MOST, cancelled=cancelled)

        whole = next(iter(by().rows), None)
        used, untold = self._used(who, cancelled)
        gaps = list(untold)
        if whole is None:
            gaps.append(f"No event in the store is by {clean(name, 200)}.")
        receipted = self._receipted(who, gaps, cancelled)
        could: tuple[Reachable, ...] = ()
        reachable: int | None = 0
        unknown: int | None = 0
        if used:
            try:
                status = self.census.take_census(cancelled=cancelled)
                could = tuple(self._could(used, status, cancelled))
                unknown = self._count("format:v1 key:unknown", cancelled)
                gaps += status.coverage.reasons
                reachable = sum((one.tokens or 0) + one.untold for one in could)
            except (DatabaseError, KmsError) as error:
                gaps.append(f"The tokens in reach are not counted: {error}")
                could = tuple(self._could(used, None, cancelled))
                reachable = unknown = None
        told = reach(self.store, self.covered, since, None, cancelled=cancelled)
        return BlastRadius(
            who=who,
            events=whole.events if whole else 0,
            failed=whole.failed if whole else 0,
            denied=whole.denied if whole else 0,
            first=whole.first if whole else None,
            last=whole.last if whole else None,
            opened=self._tokens(f"{who.filter} {READ}", cancelled),
            rewrapped=self._tokens(f"{who.filter} {REWRAPPED}", cancelled),
            sealed=self._tokens(f"{who.filter} {HANDED_OUT}", cancelled),
            tried=self._tokens(f"{who.filter} failed", cancelled),
            opened_filter=f"{who.filter} token:*",
            receipted=receipted,
            could=could,
            calls=sum(t.events for one in used for t in one.by_material.values()),
            tokens_reachable=reachable,
            unknown_key=unknown,
            data_keys=by(more=f" {HANDED_OUT} -token:* -receipt:*").events,
            operations=by("name", "error"),
            addresses=by("ip"),
            agents=by("agent"),
            sessions=by("session"),
            access_keys=by("access_key"),
            coverage=Coverage(tuple(dict.fromkeys((*gaps, *told.reasons)))),
        )

    def _receipted(self, who: NamedPrincipals, gaps: list[str], cancelled: Event | None) -> ReceiptedTokens:
        if self.store.receipts() is None:
            return ReceiptedTokens()
        expression = f"{who.filter} {OPENED} -token:*"
        try:
            return receipted_tokens(self.store, self.values, expression, cancelled)
        except DatabaseError as error:
            gaps.append(f"The rows of stored values that receipts are about are not known: {error}")
            return receipted_tokens(self.store, None, expression, cancelled)

    def _tokens(self, expression: str, cancelled: Event | None) -> Tallies:
        return self.store.tally(("token",), f"{expression} token:*", limit=MOST_TOKENS, cancelled=cancelled)

    def _used(self, who: NamedPrincipals, cancelled: Event | None) -> tuple[list[_Used], list[str]]:
        found = self.store.tally(
            ("key", "material"), f"{who.filter} {UNNAMED}", limit=ALL, cancelled=cancelled
        )
        gaps = []
        if found.others:
            gaps.append(f"Calls not looked at, for their many kinds: {found.rest:,}")
        keys: list[_Used] = []
        nameless = 0
        for row in found.rows:
            source, material = opened_with(*row.texts)
            if not is_key_arn(source):
                nameless += row.events
                continue
            one = next((k for k in keys if any(same_key(source, arn) for arn in k.arns)), None)
            if one is None:
                one = _Used({}, {})
                keys.append(one)
            one.arns[source] = None
            one.by_material[material] = joined(one.by_material.get(material), row)
        if nameless:
            gaps.append(f"Calls whose records don't name the key that they opened with: {nameless:,}")
        return keys, gaps

    def _could(
        self, used: Sequence[_Used], status: Status | None, cancelled: Event | None
    ) -> Iterator[Reachable]:
        for key in used:
            arn = next(iter(key.arns))
            shares = status.keys if status else ()
            arns = dict.fromkeys((*key.arns, *(s.key_arn for s in shares if s.key_arn)))
            under = term("key", *(one for one in arns if same_key(one, arn)))
            backups = self._kept(arn)
            if "" in key.by_material:
                # Any material of the key may have been meant, those that other records tell included.
                parts: list[tuple[str | None, EventTally, str, int]] = [
                    (None, reduce(joined, key.by_material.values()), f"format:v1 {under}", 0)
                ]
            else:
                untold = self._count(f"format:v1 {under} -material:*", cancelled) if status else 0
                parts = [
                    (material, tally, f"format:v1 {under} {term('material', material)}", 0 if n else untold)
                    for n, (material, tally) in enumerate(sorted(key.by_material.items()))
                ]
            for material, tally, expression, more in parts:
                tokens = self._count(expression, cancelled) if status else None
                yield Reachable(
                    arn, material, tally.events, tally.first, tally.last, tokens, more, backups, expression
                )

    def _count(self, expression: str, cancelled: Event | None) -> int:
        return self.inventory.tokens(expression, cancelled=cancelled)

    def _kept(self, arn: str) -> int | None:
        try:
            return self.backups(arn)
        except MissingSchemaError:
            return 0  # without its schema Keydeck replaces nothing
        except DatabaseError:
            return None

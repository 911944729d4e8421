"""The order of revocation: worst first, with a sentence for each point, dead tokens last.

What a token can do counts times how exposed it is: by what the trail says that suspects opened or could have,
and by how it is stored. Damage is at most 100, exposure at least 1; what isn't known weighs as much as the
worst that it may be.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from threading import Event
from typing import TYPE_CHECKING, Protocol

from crypto_core.envelope import Format
from crypto_core.providers.abilities import Ability, TokenAbilities
from crypto_core.providers.answers import Liveness
from crypto_core.values.clean_text import CleanText, clean, cleans
from crypto_core.values.counts import listed
from crypto_core.values.errors import DatabaseError, RefusedError, TrailError
from crypto_core.values.json_records import JsonRecord, made, shape
from crypto_core.values.references import TokenRef

if TYPE_CHECKING:
    from crypto_core.database.tokens.inventory import Inventory
    from crypto_core.trail.use.service import EventUse


MOST_SUSPECTS = 10
"""So many suspects' use is looked at: containment does not wait for more."""
_UNSEALED = frozenset({Format.PLAINTEXT, Format.DEV})


@dataclass(frozen=True, slots=True)
@cleans(opened=200, receipted=200, could=200, not_known=300)
class Exposure:
    """One token's: principals that opened it, by CloudTrail or by a receipt, or that could have.

    `not_known` says why these may not be all.
    """

    opened: tuple[str, ...] = ()
    receipted: tuple[str, ...] = ()
    could: tuple[str, ...] = ()
    not_known: str | None = None
    unsealed: Format | None = None


@dataclass(frozen=True, slots=True)
class Suspicion:
    """Who is suspected, by ARN, and since when; `gaps` say why they may not be all."""

    arns: tuple[str, ...] = ()
    since: datetime | None = None
    gaps: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ExposureSearch:
    """Finds it. Blocks on the store of events and SQL."""

    use: EventUse
    inventory: Inventory

    def exposure_of(
        self, refs: Sequence[TokenRef], suspicion: Suspicion, cancelled: Event | None = None
    ) -> dict[TokenRef, Exposure]:
        """Return the exposure of each token; what can't be read is not known.

        Raises DatabaseError, InterruptedRunError.
        """
        opened: dict[TokenRef, list[CleanText]] = {}
        receipted: dict[TokenRef, list[CleanText]] = {}
        could: dict[TokenRef, list[CleanText]] = {}
        gaps = [*suspicion.gaps, *(() if suspicion.arns else ("nobody is suspected yet",))]
        if len(suspicion.arns) > MOST_SUSPECTS:
            gaps.append(f"only what the first {MOST_SUSPECTS} suspects opened was looked at")
        for arn in suspicion.arns[:MOST_SUSPECTS]:
            name = clean(arn, 200)
            try:
                found = self.use.tokens_opened(arn, since=suspicion.since, cancelled=cancelled)
            except (TrailError, RefusedError, DatabaseError) as error:
                gaps.append(f"{name}: {error.message}")
                continue
            told = ((opened, found.named), (receipted, found.receipted), (could, found.possible))
            for where, named in told:
                for ref in named:
                    where.setdefault(ref, []).append(name)
            gaps += found.gaps
        why = clean(gaps[0], 200) if gaps else None
        formats = {row.ref: row.format for row in self.inventory.rows(refs)}
        return {
            ref: Exposure(
                tuple(opened.get(ref, ())),
                tuple(receipted.get(ref, ())),
                tuple(could.get(ref, ())),
                why,
                formats[ref] if formats.get(ref) in _UNSEALED else None,
            )
            for ref in refs
        }


MANY = 10
VERY_MANY = 100
SOON_HOURS = 24
_MOST = 100
NEVER_ASKED = "its provider was not asked"


class Certainty(StrEnum):
    FACT = "fact"
    INFERENCE = "inference"
    POSSIBILITY = "possibility"
    UNKNOWN = "not known"
    """Counted as the worst that it may be."""


@dataclass(frozen=True, slots=True)
class Weight:
    """Points, and the sentence for them; its placeholders are filled in from what is known of a token."""

    points: int
    sentence: str


DAMAGE = {
    "admin": Weight(40, "It administers what it reaches."),
    "admin unknown": Weight(
        40, "Whether it administers anything is not known ({why}): counted as if it did."
    ),
    "writes": Weight(25, "It can change things."),
    "writes unknown": Weight(
        25, "Whether it can change things is not known ({why}): counted as if it could."
    ),
    "private": Weight(6, "It reads what is not public."),
    "private repositories": Weight(8, "It reads {number} private repositories."),
    "many private repositories": Weight(12, "It reads {number} private repositories."),
    "very many private repositories": Weight(15, "It reads {number} private repositories."),
    "private in part": Weight(
        15, "It reads at least {number} private repositories; how many is not known: counted as very many."
    ),
    "private unknown": Weight(
        15, "Whether it reads what is not public is not known ({why}): counted as if it did."
    ),
    "one place": Weight(3, "It reaches {places}."),
    "several places": Weight(6, "It reaches {number} places, such as {places}."),
    "many places": Weight(10, "It reaches {number} places, such as {places}."),
    "places unknown": Weight(10, "What else it reaches is not known ({why}): counted as many places."),
    "lasts": Weight(7, "It lasts until {until}."),
    "lasts for ever": Weight(10, "It never expires."),
    "ends soon": Weight(2, "It ends within a day: {until}."),
    "end unknown": Weight(10, "When it expires is not known ({why}): counted as never."),
    "never asked": Weight(100, "What it can do is not known ({why}): counted as everything."),
}

EXPOSURE = {
    "stored": Weight(1, "It is among the tokens in question."),
    "opened": Weight(9, "{who} opened it: CloudTrail names the row."),
    "opened by receipt": Weight(
        9, "{who} opened it: a receipt of the call names it, as far as the caller is truthful."
    ),
    "could have been opened": Weight(4, "{who} could have opened it: CloudTrail does not say which tokens."),
    "opening unknown": Weight(
        4, "Whether it was opened is not known ({why}): counted as if it could have been."
    ),
    "unsealed": Weight(6, "It is stored in {format}: whoever has the database has it."),
}


@dataclass(frozen=True, slots=True)
@cleans(sentence=600)
class Reason(JsonRecord):
    """Points of a score, the sentence for them, and what kind of statement it is."""

    points: int
    sentence: str
    certainty: Certainty

    def __str__(self) -> str:
        return f"{self.sentence.removesuffix('.')} ({self.certainty}, {self.points})."


@dataclass(frozen=True, slots=True)
class RankedToken(JsonRecord):
    """A token in the order. `score` is damage times exposure, 0 where its provider refuses it."""

    ref: TokenRef
    rank: int
    score: int
    damage: tuple[Reason, ...]
    exposure: tuple[Reason, ...]
    abilities: TokenAbilities | None
    """What the order goes by; None where its provider was never asked about this value."""

    json_shape = shape(
        "rank reference=ref score damage exposure dead asked_at=abilities.at why reasons",
        damage=made(int, lambda record: sum(one.points for one in record.damage)),
        exposure=made(int, lambda record: sum(one.points for one in record.exposure)),
        reasons=made(tuple[Reason, ...], lambda record: (*record.damage, *record.exposure)),
    )

    @property
    def dead(self) -> bool:
        return self.abilities is not None and self.abilities.dead

    @property
    def why(self) -> CleanText:
        if self.dead:
            return clean("Its provider refuses it: dead.")
        heaviest = [max(kind, key=lambda one: one.points) for kind in (self.damage, self.exposure) if kind]
        return clean(" ".join(one.sentence for one in heaviest), 400)


def ranked(
    refs: Sequence[TokenRef],
    abilities: Mapping[TokenRef, TokenAbilities],
    exposures: Mapping[TokenRef, Exposure],
    now: datetime,
) -> tuple[RankedToken, ...]:
    found = []
    for ref in dict.fromkeys(refs):
        told = abilities.get(ref)
        damage = () if told is not None and told.dead else tuple(_damage(told, now))
        exposure = tuple(_exposure(exposures.get(ref, Exposure(not_known=clean("no trail was read")))))
        score = min(sum(one.points for one in damage), _MOST) * sum(one.points for one in exposure)
        found.append((told is not None and told.dead, -score, ref, damage, exposure, told))
    found.sort(key=lambda one: one[:3])
    return tuple(
        RankedToken(ref, number, -score, damage, exposure, told)
        for number, (_, score, ref, damage, exposure, told) in enumerate(found, 1)
    )


def _reason(weight: Weight, certainty: Certainty, **parts: object) -> Reason:
    return Reason(weight.points, weight.sentence.format(**parts), certainty)


def _damage(told: TokenAbilities | None, now: datetime) -> Iterator[Reason]:
    if told is None or told.liveness is Liveness.UNKNOWN:
        why = NEVER_ASKED if told is None else told.reason
        yield _reason(DAMAGE["never asked"], Certainty.UNKNOWN, why=why)
        return
    for name, ability, value in (
        ("admin", Ability.ADMIN, told.admin),
        ("writes", Ability.WRITES, told.writes),
    ):
        if value is None:
            yield _reason(DAMAGE[f"{name} unknown"], Certainty.UNKNOWN, why=told.why_not(ability))
        elif value:
            yield _reason(DAMAGE[name], _certainty(told, ability))
    yield from _private(told)
    yield from _places(told)
    yield from _lasting(told, now)


def _private(told: TokenAbilities) -> Iterator[Reason]:
    found = told.repositories
    if found is not None and found.closed and found.whole:
        name = "private repositories"
        if found.closed >= MANY:
            name = f"very many {name}" if found.closed >= VERY_MANY else f"many {name}"
        yield _reason(DAMAGE[name], Certainty.FACT, number=f"{found.closed:,}")
    elif found is not None and found.closed:
        yield _reason(DAMAGE["private in part"], Certainty.UNKNOWN, number=f"{found.closed:,}")
    elif told.reads_private is None or (found is not None and not found.whole and told.reads_private):
        why = told.why_not(Ability.READS_PRIVATE if told.reads_private is None else Ability.REPOSITORIES)
        yield _reason(DAMAGE["private unknown"], Certainty.UNKNOWN, why=why)
    elif told.reads_private:
        yield _reason(DAMAGE["private"], _certainty(told, Ability.READS_PRIVATE))


def _places(told: TokenAbilities) -> Iterator[Reason]:
    number = len(told.places)
    if not told.places_whole:
        yield _reason(DAMAGE["places unknown"], Certainty.UNKNOWN, why=told.why_not(Ability.PLACES))
    elif number:
        name = "one place" if number == 1 else "several places" if number < MANY else "many places"
        parts = {"number": f"{number:,}", "places": listed(told.places, 3)}
        yield _reason(DAMAGE[name], _certainty(told, Ability.PLACES), **parts)


def _lasting(told: TokenAbilities, now: datetime) -> Iterator[Reason]:
    certainty = _certainty(told, Ability.EXPIRY)
    if told.expires is not None:
        soon = told.expires - now < timedelta(hours=SOON_HOURS)
        until = f"{told.expires.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
        yield _reason(DAMAGE["ends soon" if soon else "lasts"], certainty, until=until)
    elif told.lasts == "never":
        yield _reason(DAMAGE["lasts for ever"], certainty)
    elif told.lasts:
        yield _reason(DAMAGE["ends soon"], certainty, until=told.lasts)
    else:
        yield _reason(DAMAGE["end unknown"], Certainty.UNKNOWN, why=told.why_not(Ability.EXPIRY))


def _certainty(told: TokenAbilities, ability: Ability) -> Certainty:
    return Certainty.INFERENCE if ability in told.inferred else Certainty.FACT


def _exposure(found: Exposure) -> Iterator[Reason]:
    yield _reason(EXPOSURE["stored"], Certainty.FACT)
    if found.opened:
        yield _reason(EXPOSURE["opened"], Certainty.FACT, who=listed(found.opened, 2))
    elif found.receipted:
        who = listed(found.receipted, 2)
        yield _reason(EXPOSURE["opened by receipt"], Certainty.FACT, who=who)
    elif found.could:
        who = listed(found.could, 2)
        yield _reason(EXPOSURE["could have been opened"], Certainty.POSSIBILITY, who=who)
    elif found.not_known is not None:
        yield _reason(EXPOSURE["opening unknown"], Certainty.UNKNOWN, why=found.not_known)
    if found.unsealed is not None:
        yield _reason(EXPOSURE["unsealed"], Certainty.FACT, format=f"{found.unsealed.value} format")


class KnownAbilities(Protocol):
    """What is known of what tokens can do. `missing` says why nothing can be, "" where something may be."""

    @property
    def missing(self) -> str: ...

    def kept(self, refs: Sequence[TokenRef]) -> Mapping[TokenRef, TokenAbilities]:
        """Return the last answers of providers. Raises DatabaseError, AbilityBookError."""


@dataclass(frozen=True, slots=True)
class NoAbilities:
    """Stands in where what asks providers is not installed: the order then goes by exposure alone."""

    missing: str

    def kept(self, refs: Sequence[TokenRef]) -> Mapping[TokenRef, TokenAbilities]:
        return {}


@dataclass(frozen=True, slots=True)
class RevocationOrdering:
    """Asks no provider, and opens nothing. Blocks on SQL, the answers' file and the store of events."""

    abilities: KnownAbilities
    exposure: ExposureSearch

    def order_of(
        self,
        refs: Sequence[TokenRef],
        suspicion: Suspicion,
        *,
        now: datetime | None = None,
        cancelled: Event | None = None,
    ) -> tuple[RankedToken, ...]:
        """Return tokens in the order in which to revoke them, the worst first.

        Raises DatabaseError, AbilityBookError, InterruptedRunError.
        """
        exposures = self.exposure.exposure_of(refs, suspicion, cancelled)
        return ranked(refs, self.abilities.kept(refs), exposures, now or datetime.now(UTC))

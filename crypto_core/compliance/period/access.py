"""Who used keys in a period, what of it was reviewed, and what response and recovery there was. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime

from crypto_core.compliance.facts import (
    DrillFacts,
    IncidentFact,
    IncidentFacts,
    ReviewFact,
    UseFact,
    UseFacts,
)
from crypto_core.compliance.period.population import moments_of
from crypto_core.compliance.records.record import EvidenceRecord
from crypto_core.compliance.snapshot import MissingPart, SnapshotPart
from crypto_core.key_names import same_key
from crypto_core.text.cleaning import CleanText, clean, cleans


@dataclass(frozen=True, slots=True)
@cleans(gaps=600)
class AccessInPeriod:
    """Uses summed by principal, action and key, the most calls first; reviews; uses that none looked at.

    `reviews` are those of the period; a later one has looked at its uses, too.
    """

    uses: tuple[UseFact, ...]
    reviews: tuple[ReviewFact, ...]
    unreviewed: tuple[UseFact, ...]
    gaps: tuple[CleanText, ...] = ()


def access_of(
    records: Iterable[EvidenceRecord], at_hand: UseFacts | MissingPart, since: date, until: date
) -> AccessInPeriod:
    """Return what the records tell of uses and reviews, and of reviews what is known now."""
    begin, end = moments_of(since, until)
    uses: dict[tuple[str, str, str], UseFact] = {}
    reviews: dict[str, ReviewFact] = {}
    gaps: list[str] = []
    reached: datetime | None = None
    for record in records:
        facts = record.snapshot.part(SnapshotPart.USES)
        if not isinstance(facts, UseFacts):
            continue
        if reached is not None and facts.since < reached:
            gaps.append("Uses of some hours stand in two records and are counted twice.")
        reached = max(facts.until, reached or facts.until)
        gaps += [f"Uses: {gap}" for gap in facts.gaps]
        reviews |= {one.id: one for one in facts.reviews}
        for use in facts.uses:
            key = (use.who, use.action, use.key)
            uses[key] = _added(uses[key], use) if key in uses else use
    if isinstance(at_hand, UseFacts):
        reviews |= {one.id: one for one in at_hand.reviews}
    within = sorted((one for one in reviews.values() if begin <= one.at < end), key=lambda one: one.at)
    every = tuple(reviews.values())
    ordered = sorted(uses.values(), key=lambda one: (-one.calls, one.who, one.action, one.key))
    return AccessInPeriod(
        tuple(ordered),
        tuple(within),
        tuple(one for one in ordered if not _reviewed(one, every)),
        tuple(clean(gap, 600) for gap in dict.fromkeys(gaps)),
    )


def incidents_of(
    records: Sequence[EvidenceRecord], at_hand: IncidentFacts | MissingPart, since: date, until: date
) -> tuple[IncidentFact, ...]:
    """Return the incidents that were open on any day, as they are known last, in the order of time."""
    begin, end = moments_of(since, until)
    found: dict[str, IncidentFact] = {}
    for facts in (*(one.snapshot.part(SnapshotPart.INCIDENTS) for one in records), at_hand):
        if isinstance(facts, IncidentFacts):
            found |= {one.name: one for one in facts.incidents}
    within = [
        one
        for one in found.values()
        if one.declared_at < end and (one.closed_at is None or one.closed_at >= begin)
    ]
    return tuple(sorted(within, key=lambda one: (one.declared_at, one.name)))


def drills_of(
    records: Iterable[EvidenceRecord], at_hand: DrillFacts | MissingPart, since: date, until: date
) -> tuple[datetime, ...]:
    """Return when a restore was tried within the period, as far as a record tells, in the order of time."""
    begin, end = moments_of(since, until)
    told = (*(one.snapshot.part(SnapshotPart.DRILLS) for one in records), at_hand)
    moments = {one.last_at for one in told if isinstance(one, DrillFacts) and one.last_at}
    return tuple(sorted(one for one in moments if begin <= one < end))


def _added(one: UseFact, other: UseFact) -> UseFact:
    return replace(
        one,
        calls=one.calls + other.calls,
        denied=one.denied + other.denied,
        first_at=min(one.first_at, other.first_at),
        last_at=max(one.last_at, other.last_at),
    )


def _reviewed(use: UseFact, reviews: Iterable[ReviewFact]) -> bool:
    """Whether a review looked at the key after its last use; one that names no key is of all."""
    return any(
        one.at >= use.last_at and (not one.keys or any(same_key(use.key, key) for key in one.keys))
        for one in reviews
    )

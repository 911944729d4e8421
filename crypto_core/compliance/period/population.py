"""All changes of a period, each once, and the sample that an auditor looks at. Pure.

The sample can be drawn again with any tool that has SHA-256:

1. The digest of a change is the SHA-256 of seed, NUL, source, NUL, id (UTF-8), in hex.
2. Of each kind that has changes, the change with the smallest digest is taken.
3. Then, of all changes left whatever their kind, those with the smallest digests, until there are as many as
   were asked for; a smaller population is taken whole.

Without a seed of the auditor's own it is the digest of the period's last record, which names the record and
the journal before it: nobody can choose it to get a convenient sample.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from crypto_core.compliance.facts import ChangeFact, ChangeFacts
from crypto_core.compliance.records.record import EvidenceRecord
from crypto_core.compliance.snapshot import MissingPart, SnapshotPart
from crypto_core.text.cleaning import CleanText, clean, cleans

LEAST, MOST = 1, 1_000
"""Changes that a sample may have."""
UNENDED = "begun"
"""How the outcome of a change begins whose end is not on record yet."""


@dataclass(frozen=True, slots=True)
@cleans(problems=600, gaps=600)
class Population:
    """Changes in the order of time, those that differ between two places, and what could not be looked at."""

    changes: tuple[ChangeFact, ...]
    problems: tuple[CleanText, ...] = ()
    gaps: tuple[CleanText, ...] = ()


def moments_of(since: date, until: date) -> tuple[datetime, datetime]:
    """Return the first moment of a period and the first one after it, in UTC."""
    return datetime.combine(since, time(), UTC), datetime.combine(until, time(), UTC) + timedelta(days=1)


def population_of(
    records: Iterable[EvidenceRecord], at_hand: ChangeFacts | MissingPart, since: date, until: date
) -> Population:
    """Return the changes that the records tell of and those that the stores hold now.

    Where both have one, the record's counts: it was written at the time; of what had not ended then, the
    later one. One that differs in time, call or principal is a problem.
    """
    begin, end = moments_of(since, until)
    kept: dict[tuple[str, str], tuple[ChangeFact, int]] = {}
    problems: list[str] = []
    gaps: list[str] = []
    for number, facts in (*_told(records), (0, at_hand)):
        if isinstance(facts, MissingPart):
            place = f"record {number}" if number else "the stores at hand"
            gaps.append(f"Changes by {place}: {facts.lack}: {facts.reason}")
            continue
        gaps += [f"Changes: {gap}" for gap in facts.gaps]
        for change in facts.changes:
            if begin <= change.at < end:
                key = (change.source, change.id)
                if key not in kept or kept[key][0].outcome.startswith(UNENDED):
                    kept[key] = change, number
                problems += _differing(kept[key], change, number)
    ordered = sorted((one for one, _ in kept.values()), key=lambda one: (one.at, one.source, one.id))
    return Population(
        tuple(ordered),
        tuple(clean(one, 600) for one in dict.fromkeys(problems)),
        tuple(clean(one, 600) for one in dict.fromkeys(gaps)),
    )


def digest_of_change(change: ChangeFact, seed: str) -> str:
    """Return what a change's place in the sample is decided by."""
    return hashlib.sha256("\0".join((seed, change.source, change.id)).encode()).hexdigest()


def sample_of(changes: Sequence[ChangeFact], seed: str, size: int) -> tuple[ChangeFact, ...]:
    """Return a sample in the order of time; of each kind there is one, where the size allows."""
    order = sorted(changes, key=lambda one: digest_of_change(one, seed))
    first = list({one.kind: one for one in reversed(order)}.values())
    first.sort(key=lambda one: digest_of_change(one, seed))
    chosen = [*first, *(one for one in order if one not in first)][:size]
    return tuple(one for one in changes if one in chosen)


def default_seed(records: Sequence[EvidenceRecord], since: date, until: date) -> CleanText:
    """Return the digest of the last record, in hex; without a record, the days."""
    return clean(records[-1].digest.hex() if records else f"{since} {until}")


def _told(records: Iterable[EvidenceRecord]) -> Iterable[tuple[int, ChangeFacts | MissingPart]]:
    for record in records:
        facts = record.snapshot.part(SnapshotPart.CHANGES)
        if isinstance(facts, ChangeFacts | MissingPart):
            yield record.number, facts


def _differing(before: tuple[ChangeFact, int], now: ChangeFact, number: int) -> list[str]:
    change, place = before
    fields = ("at", "what", "who")
    other = [name for name in fields if getattr(change, name) != getattr(now, name)]
    if not other:
        return []
    then = f"record {number}" if number else "the stores now"
    return [f"Change {now.source} {now.id} differs between record {place} and {then}, in {', '.join(other)}."]

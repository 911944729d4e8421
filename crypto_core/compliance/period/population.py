"""All changes of a period, each once: what records tell of, and what stores hold now. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from crypto_core.compliance.facts import ChangeFact, ChangeFacts
from crypto_core.compliance.records.record import EvidenceRecord
from crypto_core.compliance.snapshot import MissingPart
from crypto_core.text.cleaning import CleanText, clean, cleans

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
    return datetime.combine(since, time(), UTC), datetime.combine(until, time(), UTC) + timedelta(days=1)


def population_of(
    records: Iterable[EvidenceRecord], at_hand: ChangeFacts | MissingPart, since: date, until: date
) -> Population:
    """Return the changes that the records tell of and those that the stores hold now.

    A record's counts, of several the last one's; what stores hold now counts for what had not ended then.
    One that differs in time, call or principal is a problem, and the first counts.
    """
    begin, end = moments_of(since, until)
    kept: dict[tuple[str, str], tuple[ChangeFact, int]] = {}
    problems: list[str] = []
    gaps: list[str] = []
    covered = False
    told = [(one.number, found) for one in records if (found := one.snapshot.known(ChangeFacts))]
    for number, facts in (*told, (0, at_hand)):
        if isinstance(facts, MissingPart):
            gaps.append(f"Changes by the stores at hand: {facts.lack}: {facts.reason}")
            continue
        if number or not covered:
            # What stores lack by now, the records had then.
            gaps += [f"Changes: {gap}" for gap in facts.gaps]
            covered = covered or bool(number)
        for change in facts.changes:
            if begin <= change.at < end:
                key = (change.source, change.id)
                before = kept.setdefault(key, (change, number))
                differs = _differing(before, change, number)
                problems += differs
                if not differs and (number or before[0].outcome.startswith(UNENDED)):
                    kept[key] = change, number
    ordered = sorted((one for one, _ in kept.values()), key=lambda one: (one.at, one.source, one.id))
    return Population(
        tuple(ordered),
        tuple(clean(one, 600) for one in dict.fromkeys(problems)),
        tuple(clean(one, 600) for one in dict.fromkeys(gaps)),
    )


def _differing(before: tuple[ChangeFact, int], now: ChangeFact, number: int) -> list[str]:
    change, place = before
    fields = ("at", "what", "who")
    other = [name for name in fields if getattr(change, name) != getattr(now, name)]
    if not other:
        return []
    then = f"record {number}" if number else "the stores now"
    return [f"Change {now.source} {now.id} differs between record {place} and {then}, in {', '.join(other)}."]


LEAST, MOST = 1, 1_000
"""Changes that a sample may have."""


def digest_of_change(change: ChangeFact, seed: str) -> str:
    """Return what a change's place in the sample is decided by."""
    return hashlib.sha256("\0".join((seed, change.source, change.id)).encode()).hexdigest()


def draw_sample(changes: Sequence[ChangeFact], seed: str, size: int) -> tuple[ChangeFact, ...]:
    """Return a sample in the order of time; of each kind there is one, where the size allows."""
    order = sorted(changes, key=lambda one: digest_of_change(one, seed))
    first = list({one.kind: one for one in reversed(order)}.values())
    first.sort(key=lambda one: digest_of_change(one, seed))
    chosen = [*first, *(one for one in order if one not in first)][:size]
    return tuple(one for one in changes if one in chosen)


def default_seed(records: Sequence[EvidenceRecord], since: date, until: date) -> CleanText:
    """Return the digest of the last record, in hex; without a record, the days."""
    return clean(records[-1].digest.hex() if records else f"{since} {until}")

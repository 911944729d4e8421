"""Judges a period by its records and by what is at hand now. Pure: records of any year are judged alike.

Each day is the worst of its records, by the controls as the catalogues have them now. A day without a record
is a gap: it counts as nothing, least of all as met.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby

from crypto_core.compliance.answer import ControlStatus
from crypto_core.compliance.control import ControlCatalogue, Exemption, FrameworkControl
from crypto_core.compliance.facts import (
    ChangeFact,
    ChangeFacts,
    DrillFacts,
    IncidentFact,
    IncidentFacts,
    ReviewFact,
    UseFact,
    UseFacts,
)
from crypto_core.compliance.library import Controls
from crypto_core.compliance.period import period
from crypto_core.compliance.period.troubles import RANK, JudgedRecord, find_lapses, judge_records
from crypto_core.compliance.proof.pack import days_of
from crypto_core.compliance.records.record import EvidenceRecord
from crypto_core.compliance.snapshot import Lack, MissingPart, SnapshotPart
from crypto_core.values.clean_text import NO_TEXT, CleanText, clean, cleans
from crypto_core.values.counts import counted, first_lines
from crypto_core.values.key_names import same_key

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
    """Return a sample in the order of time. Anybody can draw it again with SHA-256 alone.

    1. The digest of a change is the SHA-256 of seed, NUL, source, NUL, id (UTF-8), in hex.
    2. Of each kind that has changes, the change with the smallest digest is taken.
    3. Then, of all changes left whatever their kind, those with the smallest digests, up to `size`.
    """
    order = sorted(changes, key=lambda one: digest_of_change(one, seed))
    first = list({one.kind: one for one in reversed(order)}.values())
    first.sort(key=lambda one: digest_of_change(one, seed))
    chosen = [*first, *(one for one in order if one not in first)][:size]
    return tuple(one for one in changes if one in chosen)


def default_seed(records: Sequence[EvidenceRecord], since: date, until: date) -> CleanText:
    """Return the digest of the last record, in hex; without a record, the days.

    It names the record and the journal before it: whoever tries for a convenient sample leaves a record each
    time.
    """
    return clean(records[-1].digest.hex() if records else f"{since} {until}")


MOST_LISTED, _MOST_RUNS = 40, 5
"""Sentences at most; how many more there are is the last one."""
NOT_ASKED = MissingPart(Lack.NOTHING, clean("nothing was asked now"))


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
    records: Iterable[EvidenceRecord], at_hand: Iterable[ReviewFact], since: date, until: date
) -> AccessInPeriod:
    """Return what the records tell of uses and reviews, and of reviews what is known now."""
    begin, end = moments_of(since, until)
    uses: dict[tuple[str, str, str], UseFact] = {}
    reviews: dict[str, ReviewFact] = {}
    gaps: list[str] = []
    reached: datetime | None = None
    for record in records:
        facts = record.snapshot.known(UseFacts)
        if facts is None:
            continue
        if reached is not None and facts.since < reached:
            gaps.append("Uses of some hours stand in two records and are counted twice.")
        reached = max(facts.until, reached or facts.until)
        gaps += [f"Uses: {gap}" for gap in facts.gaps]
        reviews |= {one.id: one for one in facts.reviews}
        for use in facts.uses:
            key = (use.who, use.action, use.key)
            uses[key] = _added(uses[key], use) if key in uses else use
    reviews = {one.id: one for one in at_hand} | {id_: one for id_, one in reviews.items() if one.accesses}
    for one in [one for one in reviews.values() if not one.accesses]:
        if begin <= one.at < end:
            gaps.append(f"Review of access in the journal's entry {one.id}: its detail can't be read")
        del reviews[one.id]
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
    records: Sequence[EvidenceRecord], at_hand: Iterable[IncidentFact], since: date, until: date
) -> tuple[IncidentFact, ...]:
    """Return the incidents that were open on any day, as they are known last, in the order of time."""
    begin, end = moments_of(since, until)
    found: dict[str, IncidentFact] = {}
    for record in records:
        if facts := record.snapshot.known(IncidentFacts):
            found |= {one.name: one for one in facts.incidents}
    found |= {one.name: one for one in at_hand}
    within = [
        one
        for one in found.values()
        if one.declared_at < end and (one.closed_at is None or one.closed_at >= begin)
    ]
    return tuple(sorted(within, key=lambda one: (one.declared_at, one.name)))


def drills_of(
    records: Iterable[EvidenceRecord], last: datetime | None, since: date, until: date
) -> tuple[datetime, ...]:
    """Return when a restore was tried within the period, as far as a record tells, in the order of time."""
    begin, end = moments_of(since, until)
    told = (record.snapshot.known(DrillFacts) for record in records)
    moments = {last, *(facts.last_at for facts in told if facts)}
    return tuple(sorted(at for at in moments if at and begin <= at < end))


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


def unknowns_of(
    records: Sequence[EvidenceRecord],
    before: EvidenceRecord | None,
    days: Sequence[date],
    removed: Iterable[date],
    gaps: Iterable[str],
    granting: Iterable[ControlCatalogue],
) -> tuple[CleanText, ...]:
    """Return what is not known: before the first record, on days without one, and of missing parts.

    `removed` are days whose record was taken away, `gaps` what else could not be looked at, `granting` the
    catalogues of whose exceptions some held.
    """
    told = [*_told(records, before, days, set(removed)), *_granted_later(records, granting), *gaps]
    return tuple(clean(one, 600) for one in first_lines(told, MOST_LISTED))


def _told(
    records: Sequence[EvidenceRecord], before: EvidenceRecord | None, days: Sequence[date], removed: set[date]
) -> Iterator[str]:
    if not records:
        yield "There is no record of these days: nothing is known of them but what stores hold now."
        return
    if before is None:
        first = records[0].taken_at
        yield f"No record is older than {first:%Y-%m-%d %H:%M} UTC: what was wrong may have begun earlier."
    recorded = {one.day for one in records}
    taken_away = [day for day in days if day in removed and day not in recorded]
    never = [day for day in days if day not in removed and day not in recorded]
    if never:
        yield f"{counted(len(never), 'day')} without a record: {_listed(never)}."
    if taken_away:
        yield (
            f"{counted(len(taken_away), 'day')} whose record was taken away, by its time to be kept: "
            f"{_listed(taken_away)}."
        )
    yield from _missing_parts(records)


def _granted_later(records: Sequence[EvidenceRecord], granting: Iterable[ControlCatalogue]) -> Iterator[str]:
    """Catalogues that were others then: an exception may have been granted once it was needed."""
    for catalogue in granting:
        others = [one.day for one in records if one.catalogues.get(catalogue.id) != catalogue.digest]
        if others:
            yield (
                f"Exceptions of catalogue {catalogue.id}: on {counted(len(set(others)), 'day')} "
                f"({_listed(others)}) it was another text, or none. Whether they had been granted by then is "
                "not shown."
            )


def _missing_parts(records: Sequence[EvidenceRecord]) -> Iterator[str]:
    for part in SnapshotPart:
        lacks: dict[Lack, tuple[str, list[date]]] = {}
        for record in records:
            found = record.snapshot.part(part)
            if isinstance(found, MissingPart):
                lacks.setdefault(found.lack, (found.reason, []))[1].append(record.day)
        for lack, (reason, missing) in lacks.items():
            days = counted(len(set(missing)), "day")
            yield f"{part} was not measured on {days} ({_listed(missing)}): {lack}: {reason}"


def _listed(days: Sequence[date]) -> str:
    runs = [f"{first}" if first == last else f"{first} to {last}" for first, last in period.runs_of(days)]
    more = [f"and {len(runs) - _MOST_RUNS} more"] if len(runs) > _MOST_RUNS else []
    return ", ".join([*runs[:_MOST_RUNS], *more])


def by_day(judged: Iterable[JudgedRecord]) -> dict[date, tuple[JudgedRecord, ...]]:
    return {day: tuple(found) for day, found in groupby(judged, key=lambda one: one.record.day)}


def control_period(
    control: FrameworkControl,
    days: Sequence[date],
    records: Mapping[date, Sequence[JudgedRecord]],
    exemptions: tuple[Exemption, ...],
    lapses: Iterable[period.Lapse],
) -> period.ControlPeriod:
    """Return a control's days and spans; `lapses` are those of any control."""
    by_events = _days_by_events(control, lapses, days)
    told = tuple(_day(control, day, records.get(day, ()), exemptions, day in by_events) for day in days)
    return period.ControlPeriod(control, told, period.spans_of(told), exemptions)


def _day(
    control: FrameworkControl,
    day: date,
    records: Sequence[JudgedRecord],
    exemptions: Iterable[Exemption],
    by_events: bool,
) -> period.ControlDay:
    worst = min(records, key=lambda one: RANK[one.status(control)], default=None)
    status = worst.status(control) if worst else None
    number = worst.record.number if worst else 0
    known = by_events and status is not ControlStatus.NOT_MET
    if known:
        status = ControlStatus.NOT_MET
    excepted = status is ControlStatus.NOT_MET and any(one.holds_on(day) for one in exemptions)
    return period.ControlDay(day, status, number, excepted, known)


def _days_by_events(
    control: FrameworkControl, lapses: Iterable[period.Lapse], days: Sequence[date]
) -> set[date]:
    found = [
        one
        for one in lapses
        if one.source is period.LapseSource.EVENTS and any(control.id == its.id for its in one.controls)
    ]
    return {day for one in found for day in days if one.first_at.date() <= day <= one.last_at.date()}


@dataclass(frozen=True, slots=True)
class AtHand:
    """What stores hold now of a period, beside its records; the uses of keys are those of the records."""

    changes: ChangeFacts | MissingPart = NOT_ASKED
    reviews: tuple[ReviewFact, ...] = ()
    incidents: tuple[IncidentFact, ...] = ()
    last_drill: datetime | None = None
    gaps: tuple[str, ...] = ()
    """What could not be read of these, and why."""


@dataclass(frozen=True, slots=True)
class PeriodQuestion:
    """What is asked: both days belong to it. `seed` "" is the default one, `framework` "" all of them."""

    since: date
    until: date
    framework: str = ""
    seed: str = ""
    sample: int = 40


@dataclass(frozen=True, slots=True)
@cleans(problems=600, unchecked=600)
class CheckedRecords:
    """The records of a period, the one before, and what is wrong with them.

    `unchecked` says why signatures could not be checked, `removed` are days whose record was taken away.
    """

    records: tuple[EvidenceRecord, ...]
    before: EvidenceRecord | None = None
    problems: tuple[CleanText, ...] = ()
    unchecked: CleanText = NO_TEXT
    removed: tuple[date, ...] = ()


def audit_period(
    asked: PeriodQuestion, found: CheckedRecords, controls: Controls, at_hand: AtHand, made_at: datetime
) -> period.AuditPeriod:
    """Return what a period came to. What can't be told of it is in `unknown`, what is wrong in `problems`."""
    chosen = tuple(one for one in controls.controls if asked.framework in ("", one.framework.id))
    exemptions = _exemptions(controls, chosen, asked)
    records = tuple(sorted(found.records, key=lambda one: (one.taken_at, one.number)))
    population = population_of(records, at_hand.changes, asked.since, asked.until)
    judged = judge_records((*((found.before,) if found.before else ()), *records))
    lapses, explained = find_lapses(
        judged, population.changes, chosen, exemptions, min(asked.until, made_at.date())
    )
    recorded = by_day(judged)
    held = {one for theirs in exemptions.values() for one in theirs}
    days = tuple(days_of(asked.since, asked.until, made_at, recorded))
    access = access_of(records, at_hand.reviews, asked.since, asked.until)
    incidents = incidents_of(records, at_hand.incidents, asked.since, asked.until)
    unread = [f"{one.name} can't be read: {one.unread}" for one in incidents if one.unread]
    seed = clean(asked.seed, 200) or default_seed(records, asked.since, asked.until)
    gaps = tuple(day for day in days if day not in recorded)
    return period.AuditPeriod(
        since=asked.since,
        until=asked.until,
        framework=clean(asked.framework),
        made_at=made_at,
        records=records,
        gaps=gaps,
        controls=tuple(
            control_period(one, days, recorded, tuple(exemptions.get(one.id, ())), lapses) for one in chosen
        ),
        lapses=lapses,
        changes=population.changes,
        sample=draw_sample(population.changes, seed, asked.sample),
        seed=seed,
        uses=access.uses,
        reviews=access.reviews,
        incidents=incidents,
        drills=drills_of(records, at_hand.last_drill, asked.since, asked.until),
        problems=(*found.problems, *population.problems),
        unknown=unknowns_of(
            records,
            found.before,
            days,
            found.removed,
            (*population.gaps, *access.gaps, *at_hand.gaps, *unread),
            [one for one in controls.catalogues if held.intersection(one.exemptions)],
        ),
        exemptions=tuple(one for theirs in exemptions.values() for one in theirs),
        unchecked=found.unchecked,
        unsigned=tuple(one.number for one in records if one.signature is None),
        explained=explained,
        unreviewed=access.unreviewed,
    )


def _exemptions(
    controls: Controls, chosen: Sequence[FrameworkControl], asked: PeriodQuestion
) -> dict[str, list[Exemption]]:
    wanted = {one.id for one in chosen}
    found: dict[str, list[Exemption]] = {}
    for one in (exemption for catalogue in controls.catalogues for exemption in catalogue.exemptions):
        began = one.since is None or one.since <= asked.until
        if one.control in wanted and began and one.until >= asked.since:
            found.setdefault(one.control, []).append(one)
    return found

"""Judges a period by its records and by what is at hand now. Pure: records of any year are judged alike.

Each day is the worst of its records, by the controls as the catalogues have them now. A day without a record
is a gap: it counts as nothing, least of all as met.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from crypto_core.compliance.control import Exemption, FrameworkControl
from crypto_core.compliance.facts import ChangeFacts, DrillFacts, IncidentFacts, UseFacts
from crypto_core.compliance.library import Controls
from crypto_core.compliance.period.access import access_of, drills_of, incidents_of
from crypto_core.compliance.period.judged_records import judge_records
from crypto_core.compliance.period.lapses import find_lapses
from crypto_core.compliance.period.period import AuditPeriod
from crypto_core.compliance.period.population import population_of
from crypto_core.compliance.period.sampling import default_seed, draw_sample
from crypto_core.compliance.period.spans import by_day, control_period, days_of
from crypto_core.compliance.period.unknowns import unknowns_of
from crypto_core.compliance.records.record import EvidenceRecord
from crypto_core.compliance.snapshot import Lack, MissingPart
from crypto_core.text.cleaning import NO_TEXT, CleanText, clean, cleans

NOT_ASKED = MissingPart(Lack.NOTHING, clean("nothing was asked now"))


@dataclass(frozen=True, slots=True)
class AtHand:
    """What stores hold now of a period, beside its records; each may be missing."""

    changes: ChangeFacts | MissingPart = NOT_ASKED
    uses: UseFacts | MissingPart = NOT_ASKED
    incidents: IncidentFacts | MissingPart = NOT_ASKED
    drills: DrillFacts | MissingPart = NOT_ASKED


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
) -> AuditPeriod:
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
    days = days_of(asked.since, asked.until, made_at, recorded)
    access = access_of(records, at_hand.uses, asked.since, asked.until)
    seed = clean(asked.seed, 200) or default_seed(records, asked.since, asked.until)
    gaps = tuple(day for day in days if day not in recorded)
    return AuditPeriod(
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
        incidents=incidents_of(records, at_hand.incidents, asked.since, asked.until),
        drills=drills_of(records, at_hand.drills, asked.since, asked.until),
        problems=(*found.problems, *population.problems),
        unknown=unknowns_of(
            records,
            found.before,
            days,
            found.removed,
            (*population.gaps, *access.gaps),
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
    """The exceptions that held on any day of the period, by control."""
    wanted = {one.id for one in chosen}
    found: dict[str, list[Exemption]] = {}
    for one in (exemption for catalogue in controls.catalogues for exemption in catalogue.exemptions):
        began = one.since is None or one.since <= asked.until
        if one.control in wanted and began and one.until >= asked.since:
            found.setdefault(one.control, []).append(one)
    return found

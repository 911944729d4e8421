"""The evidence behind a day: the record that decided, its control's tests, and what was changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date

from crypto_core.compliance.answer import ControlStatus
from crypto_core.compliance.assessment import Judgement, judge
from crypto_core.compliance.control import Exemption, FrameworkControl
from crypto_core.compliance.facts import ChangeFact
from crypto_core.compliance.period.period import ControlPeriod, Lapse
from crypto_core.compliance.records.record import EvidenceRecord
from crypto_core.proof.forms import FIRST
from screens.evidence_standing import Standing


@dataclass(frozen=True, slots=True, eq=False)
class DayEvidence:
    """All that is known of one control on one day. Without a record there is no judgement."""

    control: FrameworkControl
    day: date
    status: ControlStatus | None = None
    """What the day came to; None without a record. Events may tell worse of it than its record."""
    excepted: bool = False
    judgement: Judgement | None = None
    record: EvidenceRecord | None = None
    follows: bool | None = None
    """Whether the record names the digest of the one before; None where that one was not read."""
    changes: Sequence[ChangeFact] = ()
    lapses: Sequence[Lapse] = ()
    """What was not met on that day, as far as it is this control's."""


def day_evidence(standing: Standing, control: str, day: date) -> DayEvidence | None:
    """Return the evidence for a control's day, None where the standing has no such control. Pure."""
    period = next((one for one in standing.controls if one.control.id == control), None)
    if period is None:
        return None
    if standing.period is None:
        judged = [one for one in standing.now.judgements if one.control.id == control] if standing.now else []
        found = judged[0] if judged else None
        excepted = found is not None and found.exemption is not None
        return DayEvidence(period.control, day, found.status if found else None, excepted, found)
    known = next((one for one in period.days if one.day == day), None)
    record = standing.records.get(known.record) if known is not None else None
    return DayEvidence(
        period.control,
        day,
        known.status if known is not None else None,
        known is not None and known.excepted,
        _judged(period, record),
        record,
        follows(standing, record),
        tuple(one for one in standing.period.changes if one.at.astimezone(UTC).date() == day),
        tuple(one for one in lapses_of(standing, control) if _covers(one, day)),
    )


def lapses_of(standing: Standing, control: str) -> tuple[Lapse, ...]:
    """Return the lapses that a control was not met for, the newest first."""
    lapses = standing.period.lapses if standing.period is not None else ()
    own = [one for one in lapses if any(c.id == control for c in one.controls)]
    return tuple(sorted(own, key=lambda one: one.first_at, reverse=True))


def follows(standing: Standing, record: EvidenceRecord | None) -> bool | None:
    """Return whether a record names the digest of the one before, None where that one is not at hand."""
    if record is None:
        return None
    if record.number == 1:
        return record.previous == FIRST
    before = standing.records.get(record.number - 1)
    return record.previous == before.digest if before is not None else None


def _judged(period: ControlPeriod, record: EvidenceRecord | None) -> Judgement | None:
    if record is None:
        return None
    return judge(period.control, record.snapshot, _exemption(period, record))


def _exemption(period: ControlPeriod, record: EvidenceRecord) -> Exemption | None:
    """The exception that held when the record was made, else the last of those that were over by then."""
    ordered = sorted(period.exemptions, key=lambda one: one.until)
    return next((one for one in ordered if one.holds(record.taken_at)), ordered[-1] if ordered else None)


def _covers(lapse: Lapse, day: date) -> bool:
    return lapse.first_at.astimezone(UTC).date() <= day <= lapse.last_at.astimezone(UTC).date()

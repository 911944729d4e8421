"""How controls stood on some days: by the records, or where there is none yet, as it is measured now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date
from threading import Event
from typing import TYPE_CHECKING

from crypto_core.compliance.period.open_points import OpenPoint, open_points
from crypto_core.compliance.period.period import ControlDay, ControlPeriod, StatusSpan
from crypto_core.values.errors import MissingSchemaError

if TYPE_CHECKING:
    from crypto_core.compliance.assessment import Assessment, ComplianceService
    from crypto_core.compliance.period.period import AuditPeriod
    from crypto_core.compliance.period.service import PeriodService
    from crypto_core.compliance.records.record import EvidenceRecord


@dataclass(frozen=True, slots=True, eq=False)
class ComplianceStanding:
    """What is known of the days from `since` to `until`. One of `period` and `now` is there."""

    since: date
    until: date
    controls: Sequence[ControlPeriod]
    period: AuditPeriod | None = None
    now: Assessment | None = None
    points: Sequence[OpenPoint] = ()
    last: int = 0
    """The number of the newest record, 0 for none."""
    no_records: str = ""
    """Why there can be no record here, "" where there just is none yet."""
    records: Mapping[int, EvidenceRecord] = field(default_factory=dict)
    """Those of the period, by number."""


def load_standing(
    compliance: ComplianceService,
    periods: PeriodService,
    days: tuple[date, date],
    known: ComplianceStanding | None,
    cancelled: Event,
) -> ComplianceStanding:
    """Return how controls stood from one day to another. Blocks on the database, and without a record on AWS.

    `known` is returned as it is where it is about the same days and no record came since. Raises
    DatabaseError, SettingsError, InterruptedRunError.
    """
    since, until = days
    last, trouble = 0, ""
    try:
        last = periods.last()
    except MissingSchemaError as error:
        trouble = str(error)
    if not last:
        return _as_measured(compliance, trouble, cancelled)
    if known is not None and (known.since, known.until, known.last) == (since, until, last):
        return known
    period = periods.of(since, until, cancelled=cancelled)
    return ComplianceStanding(
        since,
        until,
        period.controls,
        period,
        points=open_points(period),
        last=last,
        records={record.number: record for record in period.records},
    )


def _as_measured(compliance: ComplianceService, trouble: str, cancelled: Event) -> ComplianceStanding:
    now = compliance.assess_now(cancelled=cancelled)
    day = now.taken_at.astimezone(UTC).date()
    controls = tuple(
        ControlPeriod(
            one.control,
            (ControlDay(day, one.status, excepted=one.exemption is not None),),
            (StatusSpan(one.status, day, day),),
            (one.exemption,) if one.exemption is not None else (),
        )
        for one in now.judgements
    )
    return ComplianceStanding(day, day, controls, now=now, no_records=trouble)

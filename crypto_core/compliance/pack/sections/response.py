"""Incidents and restore drills."""

from __future__ import annotations

from crypto_core.compliance.facts import IncidentFact
from crypto_core.compliance.period.period import AuditPeriod
from crypto_core.lists.tone import Tone
from crypto_core.reports.cells import Cell, CellValue, ShownSection, at_time, table
from crypto_core.reports.words import duration


def incidents(period: AuditPeriod) -> ShownSection:
    """Return incidents with their times."""
    return ShownSection(
        "incidents",
        "Incidents",
        lead="Incidents that were declared in Keydeck; others are not seen.",
        tables=(
            table(
                "Incidents",
                "Incident|Declared (UTC)|Closed (UTC)|Contained after|Led|Follow-ups",
                map(_row, period.incidents),
                "No incident was declared.",
            ),
        ),
    )


def _row(one: IncidentFact) -> tuple[CellValue, ...]:
    late = one.contained_in_time is False
    kept = {True: "in time", False: "over its budget", None: "no budget, or not known yet"}
    return (
        (one.name, one.runbook),
        one.declared_at,
        one.closed_at or at_time("open"),
        Cell(
            duration(one.contained_seconds) or "not known",
            Tone.BAD if late else Tone.PLAIN,
            more=(
                f"of {duration(one.budget_seconds)}" if one.budget_seconds else "",
                kept[one.contained_in_time],
            ),
        ),
        "a lead was named" if one.lead else "no lead was named",
        (f"{one.follow_ups:,}", f"{one.overdue:,} overdue" if one.overdue else ""),
    )


def drills(period: AuditPeriod) -> ShownSection:
    """Return when restores were tried."""
    return ShownSection(
        "drills",
        "Restore drills",
        tables=(
            table(
                "Restores that were tried and verified",
                "No.|When (UTC)",
                enumerate(period.drills, 1),
                "No restore drill is on record in the period.",
            ),
        ),
    )

"""Notices of what stands: steps that are late, findings, problems of tokens. Each is told once it is new."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from crypto_core.findings.finding import Finding
from crypto_core.findings.severity import Severity
from crypto_core.incidents.model import IncidentView
from crypto_core.incidents.times import times_of
from crypto_core.notices.notice import Notice, NoticeKind, notice_id


def late_steps(incidents: Iterable[IncidentView], now: datetime, database: str) -> Iterator[Notice]:
    """Yield a notice for each running step that is past its budget; `database` is the journal's id."""
    for view in incidents:
        for time in times_of(view, now).steps:
            step = view.step(time.step_id)
            if not time.running or time.within is not False or step.begun_at is None:
                continue
            name = view.incident.name
            yield Notice(
                notice_id("late", database, name, time.step_id, step.begun_at.isoformat()),
                NoticeKind.INCIDENT,
                Severity.HIGH,
                step.begun_at + timedelta(seconds=time.budget_seconds),
                f"{name}: step {time.number} is late: {step.step.title}",
                subject=f"{name} {time.step_id}",
                who=step.by,
                detail=f"Its budget is {time.budget_seconds / 60:g} min.",
                command=f"keydeck incident show {view.incident.id}",
            )


@dataclass(frozen=True, slots=True)
class Standing:
    """What stands now, by a key that stays the same while it does. `whole` is False if more may stand."""

    notices: Mapping[str, Notice]
    whole: bool

    def new(self, known: Collection[str]) -> tuple[Notice, ...]:
        found = (notice for key, notice in self.notices.items() if key not in known)
        return tuple(sorted(found, key=lambda notice: notice.severity.rank))

    def known(self, known: Collection[str]) -> list[str]:
        """Return what is known from now on: what ended is new when it comes again, unless that isn't sure."""
        return sorted({*self.notices, *([] if self.whole else known)})


def standing_findings(findings: Iterable[Finding], now: datetime, *, whole: bool) -> Standing:
    """Return findings as notices."""
    found: dict[str, Notice] = {}
    for one in findings:
        key = notice_id("finding", one.rule, one.subject, one.title)
        found[key] = Notice(
            notice_id(key, now.isoformat()),
            NoticeKind.FINDING,
            one.severity,
            one.last_at or now,
            one.title,
            subject=one.subject,
            detail=one.evidence,
            remedy=one.remedy,
            command="keydeck findings",
        )
    return Standing(found, whole)


def standing_problems(problems: Iterable[Finding], now: datetime, *, whole: bool) -> Standing:
    """Return what a census found wrong as notices."""
    found: dict[str, Notice] = {}
    for one in problems:
        key = notice_id("problem", one.title, one.evidence)
        found[key] = Notice(
            notice_id(key, now.isoformat()),
            NoticeKind.CHECK,
            one.severity,
            now,
            f"The check of tokens failed: {one.title}",
            subject=one.evidence,
            detail=f"{one.tokens:,} tokens" if one.tokens else "",
            remedy=one.remedy,
            command="keydeck check",
        )
    return Standing(found, whole)

"""Whom the incident was about, as the last evidence has it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from crypto_core.incidents.report.exhibits import NamedSuspect
from crypto_core.incidents.report.section import ReportSection, Signed, Sources
from crypto_core.reports.cells import ShownSection, at_time, code, table


@dataclass(frozen=True, slots=True)
class SuspectsSection(ReportSection):
    """The principals that findings and events speak against; None where no evidence says."""

    suspects: tuple[NamedSuspect, ...] | None
    suspects_evidence: int | None

    @classmethod
    def read(cls, sources: Sources) -> Self:
        told = [one for one in sources.exhibits if one.suspects is not None]
        last = max(told, key=lambda one: (one.evidence.captured_at, one.evidence.id), default=None)
        return cls(last.suspects, last.evidence.id) if last is not None else cls(None, None)

    def show(self, signed: Signed) -> ShownSection:
        rows = (
            (
                code(one.principal),
                one.why or "",
                one.calls,
                at_time(one.first or "–"),
                at_time(one.last or "–"),
            )
            for one in self.suspects or ()
        )
        empty = "Nobody." if self.suspects is not None else "No evidence says whom the incident was about."
        lead = (
            f"Named by findings and events, as evidence {self.suspects_evidence} has it; calls since the "
            "incident may have begun."
            if self.suspects
            else ""
        )
        return ShownSection(
            "suspects",
            "Suspects",
            lead=lead,
            tables=(table("Suspects", "Principal|Why|Calls|First|Last", rows, empty),),
        )

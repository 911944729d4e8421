"""The sections that list: steps, timeline, evidence."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Self

from crypto_core.incidents.model import StepView
from crypto_core.incidents.report.section import ReportSection, Signed, Sources, taken_from
from crypto_core.incidents.report.sections.people import Names
from crypto_core.incidents.times import Times
from crypto_core.lists.tone import Tone
from crypto_core.reports.cells import (
    WORD_TONE,
    Cell,
    CellValue,
    ShownSection,
    TextLook,
    code,
    share,
    table,
    word,
)
from crypto_core.values.moments import duration, moment, moment_utc, span


@dataclass(frozen=True, slots=True)
class ReportStep:
    """A step and how it went. Times are in seconds; a budget of 0 is none."""

    number: int
    id: str
    title: str
    phase: str
    phase_kind: str
    state: str
    by: str
    begun_at: datetime | None
    ended_at: datetime | None
    seconds: float | None
    budget_seconds: int
    within: bool | None
    reason: str
    answer: str
    check: str
    """The check's last result, "" without one."""
    check_lines: tuple[str, ...]
    check_at: datetime | None
    trouble: str


@dataclass(frozen=True, slots=True)
class StepsSection(ReportSection):
    PLACE: ClassVar = 100
    WIDTHS: ClassVar = """\
#steps th:nth-child(2) { width: 24%; }
#steps th:nth-child(3) { width: 26%; }
"""
    steps: tuple[ReportStep, ...]

    @classmethod
    def read(cls, sources: Sources) -> Self:
        times = sources.times
        return cls(tuple(_step(step, sources, times) for step in sources.view.steps))

    def show(self, signed: Signed) -> ShownSection:
        names = Names.of(signed.report)
        return ShownSection(
            "steps",
            "Steps",
            tables=(
                table(
                    "Every step of the runbook",
                    "No.|Step|State, when (UTC) and who|Took|Proof and reasons",
                    (_step_row(step, names) for step in self.steps),
                ),
            ),
        )


def _step(view: StepView, sources: Sources, times: Times) -> ReportStep:
    phase = sources.view.runbook.phase_of(view.step.id)
    time = times.step(view.step.id)
    check = view.check
    return taken_from(
        ReportStep,
        view,
        id=view.step.id,
        title=view.step.title,
        phase=phase.title,
        phase_kind=phase.kind.value,
        state=view.state.value,
        seconds=time.seconds,
        budget_seconds=time.budget_seconds,
        within=time.within,
        check=check.state.value if check else "",
        check_lines=check.lines if check else (),
        check_at=check.at if check else None,
    )


def _step_row(step: ReportStep, names: Names) -> tuple[CellValue, ...]:
    budget = f"of {duration(step.budget_seconds)}" if step.budget_seconds else ""
    kind = f" ({step.phase_kind})" if step.phase.casefold() != step.phase_kind else ""
    over = "over budget" if step.within is False else ""
    proof = (
        *((f"Check: {step.check}", *step.check_lines) if step.check else ()),
        f"Looked: {moment_utc(step.check_at)}" if step.check_at else "",
        f"Answer: {step.answer}" if step.answer else "",
        f"Reason: {step.reason}" if step.reason else "",
        f"Trouble: {step.trouble}" if step.trouble else "",
    )
    return (
        step.number,
        (step.title, f"{step.phase}{kind}, {step.id}"),
        word(step.state, span(step.begun_at, step.ended_at), names.short(step.by)),
        Cell(
            duration(step.seconds) or "–",
            Tone.BAD if over else Tone.PLAIN,
            more=(budget, over),
            share=share(step.seconds, step.budget_seconds),
        ),
        Cell(proof[0] if proof else "", WORD_TONE.get(step.check, Tone.PLAIN), more=proof[1:]),
    )


@dataclass(frozen=True, slots=True)
class TimelineRow:
    at: datetime
    who: str
    kind: str
    step: str
    text: str


@dataclass(frozen=True, slots=True)
class TimelineSection(ReportSection):
    PLACE: ClassVar = 110
    WIDTHS: ClassVar = """\
#timeline th:nth-child(1) { width: 11.5rem; }
#timeline th:nth-child(2) { width: 5.5rem; }
#timeline th:nth-child(4) { width: 26%; }
"""
    timeline: tuple[TimelineRow, ...]

    @classmethod
    def read(cls, sources: Sources) -> Self:
        rows = (
            TimelineRow(entry.at, entry.actor, entry.kind.value, sources.title_of(entry.step_id), entry.text)
            for entry in sorted(sources.view.entries, key=lambda entry: entry.at)
        )
        return cls(tuple(rows))

    def show(self, signed: Signed) -> ShownSection:
        names = Names.of(signed.report)
        rows = ((row.at, word(row.kind), (row.text, row.step), names.short(row.who)) for row in self.timeline)
        return ShownSection(
            "timeline",
            "Timeline",
            tables=(table("What happened, oldest first", "Time (UTC)|What|Text|Who", rows),),
        )


@dataclass(frozen=True, slots=True)
class ReportEvidence:
    """A piece of evidence without its content. `agrees` if the content still has the hash."""

    id: int
    step: str
    kind: str
    title: str
    at: datetime
    by: str
    sha256: str
    characters: int
    agrees: bool
    trouble: str


@dataclass(frozen=True, slots=True)
class EvidenceSection(ReportSection):
    PLACE: ClassVar = 130
    WIDTHS: ClassVar = """\
#evidence th:nth-child(4) { width: 24%; }
#evidence th:nth-child(3) { width: 22%; }
"""
    evidence: tuple[ReportEvidence, ...]

    @classmethod
    def read(cls, sources: Sources) -> Self:
        pieces = (
            taken_from(
                ReportEvidence,
                exhibit.evidence,
                step=sources.title_of(exhibit.evidence.step_id),
                at=exhibit.evidence.captured_at,
                by=exhibit.evidence.captured_by,
                agrees=exhibit.agrees,
                trouble=exhibit.trouble,
            )
            for exhibit in sources.exhibits
        )
        return cls(tuple(pieces))

    def show(self, signed: Signed) -> ShownSection:
        names = Names.of(signed.report)
        rows = (
            (
                row.id,
                (row.title, row.kind, row.step),
                Cell(moment(row.at), look=TextLook.TIME, more=(names.short(row.by),)),
                code(row.sha256),
                row.characters,
                Cell(
                    "as captured" if row.agrees else "NOT as captured",
                    Tone.GOOD if row.agrees else Tone.BAD,
                    more=(row.trouble,),
                ),
            )
            for row in self.evidence
        )
        return ShownSection(
            "evidence",
            "Evidence",
            lead="The SHA-256 is over the content's UTF-8 text; the journal holds it too. "
            "Size is in characters.",
            tables=(
                table(
                    "Evidence", "No.|What|Captured (UTC)|SHA-256|Size|Content", rows, "Nothing was captured."
                ),
            ),
        )

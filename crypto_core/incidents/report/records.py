"""The sections that list: steps, timeline, actions, evidence, people."""

from __future__ import annotations

import re
from dataclasses import dataclass

from crypto_core.incidents.report.parts import Report, ReportStep
from crypto_core.incidents.report.sections import (
    WORD_TONE,
    Cell,
    Section,
    TextLook,
    Tone,
    at_time,
    code,
    number,
    share,
    table,
    word,
)
from crypto_core.incidents.report.words import duration, moment, moment_utc, span

_ACCOUNT = re.compile(r"arn:aws[a-z-]*:(?:sts|iam)::[0-9]{12}:")


@dataclass(frozen=True, slots=True)
class Names:
    """How people are called in tables: without the beginning that all their ARNs share, told once in full."""

    shared: str

    @classmethod
    def of(cls, report: Report) -> Names:
        """Return the names of everybody who took part."""
        found = {match[0] if (match := _ACCOUNT.match(one.who)) else "" for one in report.people}
        return cls(found.pop() if len(found) == 1 else "")

    def short(self, who: str) -> str:
        """Return a name as tables have it; another account's stays whole."""
        return who.removeprefix(self.shared)


def steps(report: Report, names: Names) -> Section:
    """Return every step and how it went."""
    return Section(
        "steps",
        "Steps",
        tables=(
            table(
                "Every step of the runbook",
                "No.|Step|State, when (UTC) and who|Took|Proof and reasons",
                (_step_row(step, names) for step in report.steps),
            ),
        ),
    )


def _step_row(step: ReportStep, names: Names) -> tuple[Cell, ...]:
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
        number(step.number),
        Cell(step.title, more=(f"{step.phase}{kind}, {step.id}",)),
        word(step.state, span(step.begun_at, step.ended_at), names.short(step.by)),
        Cell(
            duration(step.seconds) or "–",
            Tone.BAD if over else Tone.PLAIN,
            more=(budget, over),
            share=share(step.seconds, step.budget_seconds),
        ),
        Cell(proof[0] if proof else "", WORD_TONE.get(step.check, Tone.PLAIN), more=proof[1:]),
    )


def timeline(report: Report, names: Names) -> Section:
    """Return what happened, oldest first."""
    rows = (
        (at_time(moment(row.at)), word(row.kind), Cell(row.text, more=(row.step,)), names.short(row.who))
        for row in report.timeline
    )
    return Section(
        "timeline",
        "Timeline",
        tables=(table("What happened, oldest first", "Time (UTC)|What|Text|Who", rows),),
    )


def actions(report: Report, names: Names) -> Section:
    """Return what the journal tells."""
    lead = "From the journal: what was done, refused or tried while the incident was open, and by its jobs."
    if report.actions_left_out:
        lead += f" {report.actions_left_out:,} entries that do not name the incident are left out."
    rows = (
        (
            number(row.seq),
            at_time(moment(row.at)),
            Cell(row.action, more=(row.detail,)),
            code(row.subject, "" if row.related else "does not name this incident"),
            word(row.outcome),
            Cell(names.short(row.who), more=(row.host,)),
        )
        for row in report.actions
    )
    return Section(
        "actions",
        "Actions",
        lead=lead,
        tables=(
            table("Journal", "Entry|Time (UTC)|Action|On what|Outcome|Who", rows, "The journal has none."),
        ),
    )


def evidence(report: Report, names: Names) -> Section:
    """Return the pieces of evidence with their hashes."""
    rows = (
        (
            number(row.id),
            Cell(row.title, more=(row.kind, row.step)),
            Cell(moment(row.at), look=TextLook.TIME, more=(names.short(row.by),)),
            code(row.sha256),
            number(row.characters),
            Cell(
                "as captured" if row.agrees else "NOT as captured",
                Tone.GOOD if row.agrees else Tone.BAD,
                more=(row.trouble,),
            ),
        )
        for row in report.evidence
    )
    return Section(
        "evidence",
        "Evidence",
        lead="The SHA-256 is over the content's UTF-8 text; the journal holds it too. Size is in characters.",
        tables=(
            table("Evidence", "No.|What|Captured (UTC)|SHA-256|Size|Content", rows, "Nothing was captured."),
        ),
    )


def people(report: Report) -> Section:
    """Return who took part."""
    rows = (
        (
            Cell(one.who),
            number(one.steps),
            number(one.evidence),
            number(one.entries),
            at_time(moment(one.first_at)),
            at_time(moment(one.last_at)),
        )
        for one in report.people
    )
    return Section(
        "people",
        "Who took part",
        tables=(table("People", "Who|Steps ended|Evidence|Entries|First seen (UTC)|Last seen (UTC)", rows),),
    )

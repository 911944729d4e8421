"""Which sections a report has, in the order in which a reader needs them: what is wrong comes first."""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import dataclass

from crypto_core.incidents.report.parts import DRAFT, Difference, Report, Signed, StepRow
from crypto_core.incidents.report.sections import (
    Cell,
    Look,
    Section,
    Table,
    Tone,
    code,
    facts,
    number,
    quiet,
    table,
)
from crypto_core.incidents.report.words import duration, moment, moment_utc, span, verdict
from crypto_core.incidents.times import Time
from crypto_core.severity import Severity

_SEVERITY_TONE = {
    Severity.CRITICAL: Tone.BAD,
    Severity.HIGH: Tone.BAD,
    Severity.MEDIUM: Tone.WARNING,
    Severity.LOW: Tone.QUIET,
    Severity.NONE: Tone.QUIET,
}
_ACCOUNT = re.compile(r"arn:aws[a-z-]*:(?:sts|iam)::[0-9]{12}:")
_WORD_TONE = {
    "done": Tone.GOOD,
    "passed": Tone.GOOD,
    "within": Tone.GOOD,
    "skipped": Tone.WARNING,
    "begun": Tone.WARNING,
    "not yet": Tone.WARNING,
    "not known": Tone.WARNING,
    "interrupted": Tone.WARNING,
    "refused": Tone.WARNING,
    "failed": Tone.BAD,
    "over": Tone.BAD,
}


@dataclass(frozen=True, slots=True)
class _Names:
    """How people are called in tables: without the beginning that all their ARNs share, told once in full."""

    shared: str

    @classmethod
    def of(cls, report: Report) -> _Names:
        found = {match[0] if (match := _ACCOUNT.match(one.who)) else "" for one in report.people}
        return cls(found.pop() if len(found) == 1 else "")

    def short(self, who: str) -> str:
        return who.removeprefix(self.shared)


def headline(report: Report) -> str:
    """Return the sentence under the title, which says whether the report is final."""
    head = report.head
    if head.state == DRAFT:
        return f"DRAFT: the incident is open. This is how it stood on {moment_utc(head.made_at)}."
    return f"FINAL: closed on {moment_utc(head.closed_at)} by {head.closed_by or 'nobody named'}."


def outline(signed: Signed) -> tuple[Section, ...]:
    """Return all sections."""
    report = signed.report
    names = _Names.of(report)
    return (
        _summary(report),
        _open_points(report),
        _scope(report),
        _times(report),
        _census(report),
        _tokens(report),
        _steps(report, names),
        _timeline(report, names),
        _actions(report, names),
        _evidence(report, names),
        _people(report),
        _integrity(signed),
    )


def _word(text: str, *more: str) -> Cell:
    return Cell(text, _WORD_TONE.get(text, Tone.PLAIN), more=more)


def _at(text: str) -> Cell:
    return Cell(text, look=Look.TIME)


def _summary(report: Report) -> Section:
    head = report.head
    return Section(
        "summary",
        "Summary",
        facts=facts(
            ("State", head.state),
            ("Outcome", head.outcome),
            ("Declared", Cell(moment_utc(head.declared_at), more=(head.declared_by,))),
            ("Closed", Cell(moment_utc(head.closed_at), more=(head.closed_by,))),
            (
                "Runbook",
                Cell(f"{head.runbook_title}, version {head.runbook_version}", more=(head.runbook_id,)),
            ),
            ("Runbook's SHA-256", code(head.runbook_digest, head.runbook_source)),
            (
                "Report made",
                Cell(moment_utc(head.made_at), more=(f"Keydeck {head.made_by_version}", head.made_on)),
            ),
        ),
    )


def _open_points(report: Report) -> Section:
    rows = (
        (Cell(point.severity.value, _SEVERITY_TONE[point.severity]), point.about, point.text)
        for point in report.open_points
    )
    return Section(
        "open-points",
        "Open points",
        tables=(table("What is left, or not proved", "Severity|About|What", rows, "Nothing is left open."),),
    )


def _scope(report: Report) -> Section:
    scope = report.scope
    more = scope.references_total - len(scope.references)
    told = (*scope.references[1:], f"and {more:,} more" if more > 0 else "")
    return Section(
        "scope",
        "Scope",
        facts=facts(
            ("About", scope.kind),
            ("KMS key", code(scope.key)),
            ("Tokens", code(scope.references[0], *told) if scope.references else ""),
            ("Tokens by name", f"{scope.references_total:,}" if scope.references_total else ""),
            ("Filter", code(scope.filter)),
            ("Database", scope.database),
            ("Suspected since", moment_utc(scope.since) or "not known"),
            ("Declared from", scope.origin),
            *((f"Found out: {found.name}", code(found.value)) for found in report.found),
        ),
    )


def _times(report: Report) -> Section:
    times = report.times
    rows = (
        _time_row("To detect", "suspected begin to declaration", times.detect),
        _time_row("To contain", "declaration to the last step that contains", times.contain),
        _time_row("To eradicate", "declaration to the last step that eradicates", times.eradicate),
        _time_row("To recover", "declaration to the last step that recovers", times.recover),
        _time_row("In all", "declaration to close", times.total),
    )
    return Section(
        "times",
        "Times",
        tables=(table("Times against the runbook's budgets", "Time|Took|Budget|Verdict", rows),),
    )


def _time_row(name: str, span: str, time: Time) -> tuple[Cell, ...]:
    took = Cell(
        duration(time.seconds) or time.missing,
        Tone.PLAIN if time.seconds is not None else Tone.QUIET,
        share=_share(time.seconds, time.budget_seconds),
    )
    word = verdict(time.within, time.budget_seconds)
    return (
        Cell(name, more=(span,)),
        took,
        Cell(duration(time.budget_seconds) if time.budget_seconds else "none"),
        Cell(word, _WORD_TONE.get(word, Tone.QUIET)),
    )


def _share(seconds: float | None, budget: int) -> int | None:
    return round(100 * seconds / budget) if budget and seconds is not None else None


def _census(report: Report) -> Section:
    census = report.census
    if census is None:
        return Section("census", "Census", lead="No census is among the evidence, so nothing is compared.")
    lead = f"Before: {moment_utc(census.before_at)}, evidence {census.before_evidence}. "
    lead += (
        f"After: {moment_utc(census.after_at)}, evidence {census.after_evidence}."
        if census.after_at
        else "There is no second census, so nothing is known of after."
    )
    return Section(
        "census",
        "Census before and after",
        lead=lead,
        tables=(
            _differences("Tokens by KMS key", "KMS key", census.by_key, keys=True),
            _differences("Tokens by format", "Format", census.by_format, keys=False),
        ),
    )


def _differences(caption: str, first: str, rows: tuple[Difference, ...], *, keys: bool) -> Table:
    def name(row: Difference) -> Cell:
        tone = Tone.WARNING if row.note == "not protected" and row.after else Tone.PLAIN
        return Cell(row.name, tone, Look.CODE if keys else Look.TEXT, (row.note,))

    def change(row: Difference) -> Cell:
        if row.after is None:
            return Cell("–", look=Look.NUMBER)
        return Cell(f"{row.after - row.before:+,}" if row.after != row.before else "0", look=Look.NUMBER)

    after = [row.after for row in rows if row.after is not None]
    total = Difference("In all", sum(row.before for row in rows), sum(after) if after else None)
    return table(
        caption,
        f"{first}|Before|After|Change",
        (
            *((name(row), number(row.before), number(row.after), change(row)) for row in rows),
            (Cell(total.name), number(total.before), number(total.after), change(total)),
        ),
    )


def _tokens(report: Report) -> Section:
    tokens = report.tokens
    counts = (
        ("Dead at their providers", tokens.dead),
        ("Still alive", tokens.alive),
        ("Not known to be dead or alive", tokens.not_known),
        ("To be revoked by hand", tokens.by_hand),
        ("Replaced by new ones", tokens.replaced),
    )
    rows = (
        (
            number(job.id),
            job.verb or quiet("not recorded"),
            job.state or quiet("not recorded"),
            number(job.tokens),
            number(job.done),
            number(job.given_up),
            Cell(f"evidence {job.evidence}" if job.evidence is not None else "none"),
        )
        for job in report.jobs
    )
    return Section(
        "tokens",
        "Tokens and jobs",
        facts=facts(*((name, f"{n:,}" if n is not None else quiet("not counted")) for name, n in counts)),
        tables=(table("Jobs", "Job|What|State|Tokens|Done|Given up|Told by", rows, "No job was begun."),),
    )


def _steps(report: Report, names: _Names) -> Section:
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


def _step_row(step: StepRow, names: _Names) -> tuple[Cell, ...]:
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
        _word(step.state, span(step.begun_at, step.ended_at), names.short(step.by)),
        Cell(
            duration(step.seconds) or "–",
            Tone.BAD if over else Tone.PLAIN,
            more=(budget, over),
            share=_share(step.seconds, step.budget_seconds),
        ),
        Cell(proof[0] if proof else "", _WORD_TONE.get(step.check, Tone.PLAIN), more=proof[1:]),
    )


def _timeline(report: Report, names: _Names) -> Section:
    rows = (
        (_at(moment(row.at)), _word(row.kind), Cell(row.text, more=(row.step,)), names.short(row.who))
        for row in report.timeline
    )
    return Section(
        "timeline",
        "Timeline",
        tables=(table("What happened, oldest first", "Time (UTC)|What|Text|Who", rows),),
    )


def _actions(report: Report, names: _Names) -> Section:
    lead = "From the journal: what was done, refused or tried while the incident was open, and by its jobs."
    if report.actions_left_out:
        lead += f" {report.actions_left_out:,} entries that do not name the incident are left out."
    rows = (
        (
            number(row.seq),
            _at(moment(row.at)),
            Cell(row.action, more=(row.detail,)),
            code(row.subject, "" if row.related else "does not name this incident"),
            _word(row.outcome),
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


def _evidence(report: Report, names: _Names) -> Section:
    rows = (
        (
            number(row.id),
            Cell(row.title, more=(row.kind, row.step)),
            Cell(moment(row.at), look=Look.TIME, more=(names.short(row.by),)),
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


def _people(report: Report) -> Section:
    rows = (
        (
            Cell(one.who),
            number(one.steps),
            number(one.evidence),
            number(one.entries),
            _at(moment(one.first_at)),
            _at(moment(one.last_at)),
        )
        for one in report.people
    )
    return Section(
        "people",
        "Who took part",
        tables=(table("People", "Who|Steps ended|Evidence|Entries|First seen (UTC)|Last seen (UTC)", rows),),
    )


def _integrity(signed: Signed) -> Section:
    signature = signed.signature
    state = (
        Cell("signed", Tone.GOOD)
        if signature
        else Cell("NOT SIGNED", Tone.WARNING, more=(signed.unsigned_because,))
    )
    return Section(
        "signature",
        "What vouches for this report",
        lead="Signed is the JSON form of this report, made at the same moment: whoever may ask the key can"
        " verify it. This is its digest.",
        facts=facts(
            ("Journal", signed.report.journal_state),
            ("Signature", state),
            ("Signed SHA-256", code(signed.sha256)),
            ("Signed by", code(signature.key_arn) if signature else ""),
            ("Algorithm", signature.algorithm if signature else ""),
            ("Signature value", code(b64encode(signature.value).decode()) if signature else ""),
        ),
    )

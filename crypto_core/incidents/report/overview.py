"""The sections that sum an incident up: what it was, what is left, how long it took, what changed."""

from __future__ import annotations

from base64 import b64encode

from crypto_core.findings.severity import Severity
from crypto_core.incidents.report.parts import Difference, Report, Signed
from crypto_core.incidents.report.sections import (
    WORD_TONE,
    Cell,
    ReportTable,
    Section,
    TextLook,
    Tone,
    code,
    facts,
    number,
    quiet,
    share,
    table,
)
from crypto_core.incidents.report.words import duration, found_out, moment_utc, verdict
from crypto_core.incidents.times import Time

_SEVERITY_TONE = {
    Severity.CRITICAL: Tone.BAD,
    Severity.HIGH: Tone.BAD,
    Severity.MEDIUM: Tone.WARNING,
    Severity.LOW: Tone.QUIET,
    Severity.NONE: Tone.QUIET,
}


def summary(report: Report) -> Section:
    """Return what the report is about, who vouches for it and when."""
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


def open_points(report: Report) -> Section:
    """Return what is left, the worst first."""
    rows = (
        (Cell(point.severity.value, _SEVERITY_TONE[point.severity]), point.about, point.text)
        for point in report.open_points
    )
    return Section(
        "open-points",
        "Open points",
        tables=(table("What is left, or not proved", "Severity|About|What", rows, "Nothing is left open."),),
    )


def scope(report: Report) -> Section:
    """Return what the incident is about and what its steps have found out."""
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
            *((f"Found out: {found_out(found.name)}", code(found.value)) for found in report.found),
        ),
    )


def times(report: Report) -> Section:
    """Return the times against the runbook's budgets."""
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
        share=share(time.seconds, time.budget_seconds),
    )
    word = verdict(time.within, time.budget_seconds)
    return (
        Cell(name, more=(span,)),
        took,
        Cell(duration(time.budget_seconds) if time.budget_seconds else "none"),
        Cell(word, WORD_TONE.get(word, Tone.QUIET)),
    )


def census(report: Report) -> Section:
    """Return how many tokens were where, before and after."""
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


def _differences(caption: str, first: str, rows: tuple[Difference, ...], *, keys: bool) -> ReportTable:
    def name(row: Difference) -> Cell:
        tone = Tone.WARNING if row.note == "not protected" and row.after else Tone.PLAIN
        return Cell(row.name, tone, TextLook.CODE if keys else TextLook.TEXT, (row.note,))

    def change(row: Difference) -> Cell:
        if row.after is None:
            return Cell("–", look=TextLook.NUMBER)
        return Cell(f"{row.after - row.before:+,}" if row.after != row.before else "0", look=TextLook.NUMBER)

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


def tokens(report: Report) -> Section:
    """Return what became of tokens, and the jobs."""
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


def integrity(signed: Signed) -> Section:
    """Return what vouches for the report: the journal's state and the signature."""
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
        " verify it. This is its digest."
        if signature
        else "Nobody has signed this report: it proves no more than whoever hands it on. The digest is"
        " that of its JSON form, made at the same moment.",
        facts=facts(
            ("Journal", signed.report.journal_state),
            ("Signature", state),
            ("Signed SHA-256", code(signed.sha256)),
            ("Signed by", code(signature.key_arn) if signature else ""),
            ("Algorithm", signature.algorithm if signature else ""),
            ("Signature value", code(b64encode(signature.value).decode()) if signature else ""),
        ),
    )

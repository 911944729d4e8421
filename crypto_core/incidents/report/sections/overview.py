"""The sections that sum an incident up: what it was, how long it took, and what vouches for the report."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Self

from crypto_core.incidents.model import IncidentState, StepState, found_out
from crypto_core.incidents.report.section import Named, ReportSection, Signed, Sources, taken_from
from crypto_core.incidents.report.sections.census import CensusSection, under_key
from crypto_core.incidents.report.sections.harm import LossesSection
from crypto_core.incidents.report.sections.open_points import OpenPointsSection
from crypto_core.incidents.report.sections.tokens import TokensSection
from crypto_core.incidents.times import Time, Times
from crypto_core.lists.tone import Tone
from crypto_core.reports.cells import WORD_TONE, Cell, CellValue, ShownSection, code, facts, share, table
from crypto_core.values.counts import counted
from crypto_core.values.moments import duration, moment_utc

DRAFT = "DRAFT"
FINAL = "FINAL"


@dataclass(frozen=True, slots=True)
class ReportHead:
    """What the report is about and where it comes from. `state` is DRAFT while the incident is open."""

    name: str
    title: str
    state: str
    runbook_id: str
    runbook_title: str
    runbook_version: int
    runbook_digest: str
    """SHA-256, in hex."""
    runbook_source: str
    declared_at: datetime
    declared_by: str
    closed_at: datetime | None
    closed_by: str
    outcome: str
    made_at: datetime
    made_on: str
    """The host."""
    made_by_version: str
    """Keydeck's version."""


@dataclass(frozen=True, slots=True)
class SummarySection(ReportSection):
    PLACE: ClassVar = 10
    head: ReportHead
    figures: tuple[Named, ...]

    @classmethod
    def read(cls, sources: Sources) -> Self:
        return cls(_head(sources), _figures(sources))

    @property
    def headline(self) -> str:
        """The sentence under the title, which says whether the report is final."""
        head = self.head
        if head.state == DRAFT:
            return f"DRAFT: the incident is open. This is how it stood on {moment_utc(head.made_at)}."
        return f"FINAL: closed on {moment_utc(head.closed_at)} by {head.closed_by or 'nobody named'}."

    def show(self, signed: Signed) -> ShownSection:
        head = self.head
        return ShownSection(
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


def _head(sources: Sources) -> ReportHead:
    incident, runbook = sources.view.incident, sources.view.runbook
    return taken_from(
        ReportHead,
        incident,
        state=FINAL if incident.state is IncidentState.CLOSED else DRAFT,
        runbook_id=runbook.id,
        runbook_title=runbook.title,
        runbook_version=runbook.version,
        runbook_digest=runbook.digest,
        runbook_source=runbook.source,
        made_at=sources.now,
        made_on=sources.host,
        made_by_version=sources.version,
    )


def _figures(sources: Sources) -> tuple[Named, ...]:
    view, exhibits = sources.view, sources.exhibits
    census = sources.section(CensusSection).census
    tokens = sources.section(TokensSection).tokens
    open_points = sources.section(OpenPointsSection).open_points
    states = [step.state for step in view.steps]
    needed = len(states) - states.count(StepState.NOT_NEEDED)
    skipped = states.count(StepState.SKIPPED)
    figures = [
        Named(
            "Steps done",
            f"{states.count(StepState.DONE)} of {needed}",
            f"{skipped} skipped" if skipped else "none skipped",
        )
    ]
    key = view.incident.scope.key
    if census is not None:
        counts: list[tuple[str, tuple[int | None, int | None]]] = [("Not protected", census.unprotected)]
        if key:
            counts.insert(0, ("Under old key", under_key(exhibits, key)))
        words = "tokens, freshly proved" if census.proved else "tokens, not freshly proved"
        given_up = len(sources.section(LossesSection).accepted_losses)
        besides = f", besides {given_up:,} accepted as unrecoverable" if given_up and key else ""
        for number, (name, (before, after)) in enumerate(counts):
            said = words + ("" if number else besides)
            figures.append(
                Named(name, f"{before:,} → {after:,}" if after is not None else f"{before:,}", said)
                if before is not None
                else Named(name, "not known")
            )
    if tokens.dead is not None:
        alive = f"{tokens.alive:,} alive" if tokens.alive is not None else ""
        figures.append(Named("Tokens dead", f"{tokens.dead:,}", alive))
    if tokens.by_hand:
        figures.append(Named("Left by hand", f"{tokens.by_hand:,}", "tokens"))
    if tokens.replaced is not None:
        figures.append(Named("Tokens replaced", f"{tokens.replaced:,}"))
    broken = sum(not exhibit.agrees for exhibit in exhibits)
    vouched = f"{broken:,} not as captured" if broken else "each as captured"
    figures.append(Named("Evidence", counted(len(exhibits), "piece"), vouched if exhibits else ""))
    worst = f"worst: {open_points[0].severity.value}" if open_points else "nothing is left"
    figures.append(Named("Open points", f"{len(open_points):,}", worst))
    return tuple(figures)


REFERENCES_SHOWN = 500
"""Tokens in scope that are named one by one; the rest is counted."""


@dataclass(frozen=True, slots=True)
class ScopePart:
    """What the incident is about. `references` are the first of `references_total`."""

    kind: str
    key: str
    references: tuple[str, ...]
    references_total: int
    filter: str
    database: str
    since: datetime | None
    origin: str
    found_by: str


@dataclass(frozen=True, slots=True)
class ScopeSection(ReportSection):
    PLACE: ClassVar = 30
    scope: ScopePart
    found: tuple[Named, ...]

    @classmethod
    def read(cls, sources: Sources) -> Self:
        scope, values = sources.view.incident.scope, sources.view.incident.values
        part = taken_from(
            ScopePart,
            scope,
            kind=sources.view.runbook.subject.value,
            references=scope.references[:REFERENCES_SHOWN],
            references_total=len(scope.references),
        )
        return cls(part, tuple(Named(name, value) for name, value in values.items()))

    def show(self, signed: Signed) -> ShownSection:
        scope = self.scope
        more = scope.references_total - len(scope.references)
        told = (*scope.references[1:], f"and {more:,} more" if more > 0 else "")
        return ShownSection(
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
                ("Found by", scope.found_by),
                *((f"Found out: {found_out(found.name)}", code(found.value)) for found in self.found),
            ),
        )


@dataclass(frozen=True, slots=True)
class TimesSection(ReportSection):
    PLACE: ClassVar = 50
    WIDTHS: ClassVar = """\
#times th:nth-child(1) { width: 46%; }
#times th:nth-child(2) { width: 22%; }
"""
    times: Times

    @classmethod
    def read(cls, sources: Sources) -> Self:
        return cls(sources.times)

    def show(self, signed: Signed) -> ShownSection:
        times = self.times
        rows = (
            _time_row("To detect", "suspected begin to declaration", times.detect),
            _time_row("To contain", "declaration to the last step that contains", times.contain),
            _time_row("To eradicate", "declaration to the last step that eradicates", times.eradicate),
            _time_row("To recover", "declaration to the last step that recovers", times.recover),
            _time_row("In all", "declaration to close", times.total),
        )
        return ShownSection(
            "times",
            "Times",
            tables=(table("Times against the runbook's budgets", "Time|Took|Budget|Verdict", rows),),
        )


def _time_row(name: str, span: str, time: Time) -> tuple[CellValue, ...]:
    took = Cell(
        duration(time.seconds) or time.missing,
        Tone.PLAIN if time.seconds is not None else Tone.QUIET,
        share=share(time.seconds, time.budget_seconds),
    )
    word = _verdict(time.within, time.budget_seconds)
    return (
        (name, span),
        took,
        duration(time.budget_seconds) if time.budget_seconds else "none",
        Cell(word, WORD_TONE.get(word, Tone.QUIET)),
    )


def _verdict(within: bool | None, budget_seconds: int) -> str:
    if not budget_seconds:
        return "no budget"
    if within is None:
        return "not known yet"
    return "within" if within else "over"


@dataclass(frozen=True, slots=True)
class VouchingSection(ReportSection):
    PLACE: ClassVar = 170
    journal_state: str
    database_id: str

    @classmethod
    def read(cls, sources: Sources) -> Self:
        return cls(sources.journal_state, sources.database_id)

    def show(self, signed: Signed) -> ShownSection:
        signature = signed.signature
        state = (
            Cell("signed", Tone.GOOD)
            if signature
            else Cell("NOT SIGNED", Tone.WARNING, more=(signed.unsigned_because,))
        )
        return ShownSection(
            "signature",
            "Integrity of this report",
            lead="Signed is the JSON form of this report, made at the same moment: anyone who may use the "
            "key can verify it. This is its digest."
            if signature
            else "This report is not signed: it is only as trustworthy as its source. The digest is"
            " that of its JSON form, made at the same moment.",
            facts=facts(
                ("Journal", self.journal_state),
                ("Journal's database", code(self.database_id) if self.database_id else ""),
                ("Signature", state),
                ("Signed SHA-256", code(signed.sha256)),
                ("Signed by", code(signature.key_arn) if signature else ""),
                ("Algorithm", signature.algorithm if signature else ""),
                ("Signature value", code(b64encode(signature.value).decode()) if signature else ""),
            ),
        )

"""Which sections a report has, in the order in which a reader needs them: what is wrong comes first."""

from __future__ import annotations

from crypto_core.incidents.report.overview import (
    census,
    integrity,
    open_points,
    scope,
    summary,
    times,
    tokens,
)
from crypto_core.incidents.report.parts import DRAFT, Report, Signed
from crypto_core.incidents.report.records import Names, actions, evidence, people, steps, timeline
from crypto_core.incidents.report.sections import Section
from crypto_core.incidents.report.words import moment_utc


def headline(report: Report) -> str:
    """Return the sentence under the title, which says whether the report is final."""
    head = report.head
    if head.state == DRAFT:
        return f"DRAFT: the incident is open. This is how it stood on {moment_utc(head.made_at)}."
    return f"FINAL: closed on {moment_utc(head.closed_at)} by {head.closed_by or 'nobody named'}."


def outline(signed: Signed) -> tuple[Section, ...]:
    """Return all sections."""
    report = signed.report
    names = Names.of(report)
    return (
        summary(report),
        open_points(report),
        scope(report),
        times(report),
        census(report),
        tokens(report),
        steps(report, names),
        timeline(report, names),
        actions(report, names),
        evidence(report, names),
        people(report),
        integrity(signed),
    )

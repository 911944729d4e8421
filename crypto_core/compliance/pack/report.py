"""The pack's document: one page of sections, in the forms for people."""

from __future__ import annotations

from crypto_core.compliance.answer import ControlStatus
from crypto_core.compliance.pack import sections
from crypto_core.compliance.pack.context import PackContext
from crypto_core.compliance.pack.words import day_count, period_words
from crypto_core.compliance.period.period import AuditPeriod
from crypto_core.reports.cells import Cell, Named, ReportPage, ShownSection, code, facts, table
from crypto_core.reports.html import as_html, stylesheet
from crypto_core.reports.markdown import as_markdown
from crypto_core.values.counts import counted

VERIFY = (
    ("With Keydeck", "keydeck evidence verify DIR --public-key FILE"),
    ("Without", "python3 verifier.py DIR --public-key FILE, with the verifier that you got elsewhere"),
    (
        "The key",
        "Get it from the owner's AWS account, not from this folder: aws kms get-public-key --key-id KEY",
    ),
    (
        "Kept elsewhere",
        "A checkpoint that you kept shows whether the journal was made anew since: --anchors FILE",
    ),
)


def limits(period: AuditPeriod, context: PackContext) -> ShownSection:
    return ShownSection(
        "limits",
        "What the record can't tell",
        tables=(
            table(
                "Not known",
                "What, and why",
                ((one,) for one in (*period.unknown, *context.left_out)),
                "Nothing was left out of what Keydeck measures.",
            ),
        ),
    )


def judged_by(context: PackContext) -> ShownSection:
    return ShownSection(
        "catalogues",
        "Judged by",
        lead="The texts that name controls, their questions and tests, each with its SHA-256.",
        tables=(
            table(
                "Catalogues",
                "Catalogue|Version|Controls|SHA-256",
                (
                    ((one.id, one.source), one.version, len(one.controls), code(one.digest))
                    for one in context.catalogues
                ),
                "Not named.",
            ),
        ),
    )


def verification() -> ShownSection:
    return ShownSection(
        "verify",
        "How to verify this",
        lead=(
            "manifest.json names every file with its SHA-256, and signature.json signs it. The records are a "
            "chain of their own, named by the journal; both are in the pack."
        ),
        facts=facts(*((name, Cell(text)) for name, text in VERIFY)),
    )


_WIDTHS = """\
#controls th:nth-child(1), #controls th:nth-child(2) { width: 25%; }
#controls th:nth-child(3) { width: 20%; }
#controls .warning, #controls .bad, #lapses .bad { white-space: normal; }
#lapses th:nth-child(1) { width: 26%; }
#changes th:nth-child(5) { width: 28%; }
"""
STYLES = stylesheet(_WIDTHS, "#summary, #verify")


def report_page(period: AuditPeriod, context: PackContext) -> ReportPage:
    """Return the document's page. Its texts are those of the period, which holds them cleaned and masked."""
    return ReportPage(
        "Evidence pack",
        period.framework or "all frameworks",
        f"Evidence from {period_words(period)}",
        _state(period),
        _figures(period),
        (
            sections.summary(period, context),
            sections.lapses(period),
            sections.controls(period),
            sections.keys(period),
            sections.cryptography(period),
            sections.changes(period),
            sections.access(period),
            sections.incidents(period),
            limits(period, context),
            judged_by(context),
            verification(),
        ),
    )


def html_report(period: AuditPeriod, context: PackContext) -> bytes:
    return as_html(report_page(period, context), STYLES).encode()


def markdown_report(period: AuditPeriod, context: PackContext) -> bytes:
    return as_markdown(report_page(period, context)).encode()


def pdf_report(period: AuditPeriod, context: PackContext) -> bytes:
    """Return the document as PDF. Takes the extra `pdf`."""
    from crypto_core.compliance.pack.pdf import as_pdf

    return as_pdf(report_page(period, context))


def _state(period: AuditPeriod) -> str:
    days = day_count(period)
    gaps = len(period.gaps)
    recorded = f"{days - gaps:,} of {counted(days, 'day')} have a record"
    if not period.controls:
        return f"{recorded}. No control was asked about."
    failed = sections.counts(period)[ControlStatus.NOT_MET]
    told = f"{failed:,} of {counted(len(period.controls), 'control')} not met on some day"
    return f"{recorded}. {told if failed else 'No control is known to have been not met'}."


def _figures(period: AuditPeriod) -> tuple[Named, ...]:
    days = day_count(period)
    by_worst = sections.counts(period)
    open_ = sum(not lapse.over for lapse in period.lapses)
    return (
        Named("Days with a record", f"{days - len(period.gaps):,} of {days:,}"),
        Named(
            "Controls met", f"{by_worst[ControlStatus.MET]:,} of {len(period.controls):,}", "on days measured"
        ),
        Named("Partly met", f"{by_worst[ControlStatus.PARTLY]:,}", "on some day"),
        Named("Not met", f"{by_worst[ControlStatus.NOT_MET]:,}", "on some day"),
        Named("Not assessed", f"{by_worst[ControlStatus.NOT_ASSESSED] + by_worst[None]:,}", "on some day"),
        Named("Lapses", f"{len(period.lapses):,}", f"{open_:,} not over"),
        Named("Changes", f"{len(period.changes):,}", f"{len(period.sample):,} in the sample"),
        Named("Incidents", f"{len(period.incidents):,}"),
    )

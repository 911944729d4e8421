"""The report's page: its head and sections, and the look of its own."""

from __future__ import annotations

from crypto_core.incidents.report.section import Signed
from crypto_core.incidents.report.sections.overview import DRAFT, SummarySection
from crypto_core.reports.html import as_html
from crypto_core.reports.markdown import as_markdown
from crypto_core.reports.page import Page
from crypto_core.reports.stylesheet import stylesheet

_WIDTHS = """\
#open-points th:nth-child(1) { width: 5.5rem; }
#open-points th:nth-child(2) { width: 30%; }
#times th:nth-child(1) { width: 46%; }
#times th:nth-child(2) { width: 22%; }
#steps th:nth-child(2) { width: 24%; }
#steps th:nth-child(3) { width: 26%; }
#timeline th:nth-child(1) { width: 11.5rem; }
#timeline th:nth-child(2) { width: 5.5rem; }
#timeline th:nth-child(4) { width: 26%; }
#actions th:nth-child(3), #actions th:nth-child(4) { width: 25%; }
#evidence th:nth-child(4) { width: 24%; }
#evidence th:nth-child(3) { width: 22%; }
"""
STYLESHEET = stylesheet(_WIDTHS, "#summary, #times, #signature")


def html_report(signed: Signed) -> str:
    """Return the report as one HTML page."""
    return as_html(_page(signed), STYLESHEET)


def markdown_report(signed: Signed) -> str:
    """Return the report as Markdown."""
    return as_markdown(_page(signed))


def _page(signed: Signed) -> Page:
    summary = signed.report.section(SummarySection)
    head = summary.head
    return Page(
        "Incident report",
        head.name,
        head.title,
        summary.headline,
        summary.figures,
        signed.shown_sections(),
        draft=head.state == DRAFT,
    )

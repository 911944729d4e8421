"""The documents of a pack that are made from the period alone, in one table.

Another document is a function in a module of its own and its line here. What a document is made with, if not
with Keydeck alone, is in `module`; without it the pack has no such file, and says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from importlib import util

from crypto_core.compliance.pack.cbom import cryptography_bom
from crypto_core.compliance.pack.context import PackContext
from crypto_core.compliance.pack.csv_tables import TABLES, csv_table
from crypto_core.compliance.pack.oscal import oscal_results
from crypto_core.compliance.pack.report import VERIFY, html_report, markdown_report, pdf_report
from crypto_core.compliance.pack.report_json import report_json
from crypto_core.compliance.pack.words import period_words
from crypto_core.compliance.period.period import AuditPeriod
from crypto_core.compliance.proof.assembly import VERIFIER, verifier_source
from crypto_core.reports.foreign_text import masked
from crypto_core.values.clean_text import CleanText, clean

README = "README.txt"

MakesDocument = Callable[[AuditPeriod, PackContext], bytes]
"""Returns a file's bytes. Pure: the same period and context give the same."""


def readme(period: AuditPeriod, context: PackContext) -> bytes:
    lines = (
        f"Evidence from {period_words(period)}, made by Keydeck {context.version}.",
        "",
        "Begin with report.html, which needs no network; report.json and the CSV files are for programs.",
        "manifest.json names every file with its SHA-256; signature.json is the signature over it.",
        "",
        *(f"{name}: {text}" for name, text in VERIFY),
        "",
        "The public key in manifest.json proves only that all of this fits together.",
    )
    return "\n".join((*lines, "")).encode()


def hidden_tokens(period: AuditPeriod) -> AuditPeriod:
    """Return the period with nothing in its texts that looks like a token; its records stay as they are."""
    return replace(
        period,
        lapses=masked(period.lapses),
        explained=masked(period.explained),
        changes=masked(period.changes),
        sample=masked(period.sample),
        uses=masked(period.uses),
        unreviewed=masked(period.unreviewed),
        reviews=masked(period.reviews),
        incidents=masked(period.incidents),
        problems=masked(period.problems),
        unknown=masked(period.unknown),
        exemptions=masked(tuple(period.exemptions)),
        controls=tuple(replace(one, exemptions=masked(one.exemptions)) for one in period.controls),
    )


@dataclass(frozen=True, slots=True)
class PackDocument:
    """One file of a pack. `extra` is the one of Keydeck's that brings `module`."""

    path: str
    make: MakesDocument
    module: str = ""
    extra: str = ""

    @property
    def missing(self) -> CleanText:
        """Why it can't be made here, "" if it can."""
        if not self.module or util.find_spec(self.module) is not None:
            return clean("")
        return clean(f"{self.path} is left out: it takes pip install 'keydeck[{self.extra}]'.")


DOCUMENTS: tuple[PackDocument, ...] = (
    *(PackDocument(name, csv_table(name)) for name in TABLES),
    PackDocument("cbom.cdx.json", cryptography_bom, module="cyclonedx", extra="cbom"),
    PackDocument("oscal-assessment-results.json", oscal_results),
    PackDocument("report.html", html_report),
    PackDocument("report.json", report_json),
    PackDocument("report.md", markdown_report),
    PackDocument("report.pdf", pdf_report, module="reportlab", extra="pdf"),
    PackDocument(VERIFIER, lambda _period, _context: verifier_source()),
)


def made_documents(
    period: AuditPeriod, context: PackContext, wanted: Iterable[PackDocument]
) -> Iterator[tuple[str, bytes]]:
    """Yield the path and the bytes of each document that can be made here."""
    for one in wanted:
        if not one.missing:
            yield one.path, one.make(period, context)

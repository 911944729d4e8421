"""Makes reports: reads the journal, builds the document, has it signed and puts it into a form.

Redacted by construction: everything comes from models that hold no secret, evidence gives only what an
allow-list names (exhibits.py), and the whole passes foreign_text.py, for what people write into notes.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib import import_module, metadata
from pkgutil import iter_modules

from crypto_core.database.state.journal import Journal, JournalEntry
from crypto_core.database.state.journal_checkpoints import JournalCheckpoints
from crypto_core.database.state.journal_verification import JournalCheck, told_break
from crypto_core.guard.guarded_change import Outcome
from crypto_core.guard.signature import Signer, SigningTime
from crypto_core.incidents.model import IncidentView
from crypto_core.incidents.report import own_sections, sections
from crypto_core.incidents.report.exhibits import read
from crypto_core.incidents.report.section import Report, ReportSection, Signed, Sources
from crypto_core.incidents.report.sections import overview
from crypto_core.incidents.report.signature import NO_KEY, ReportCheck, check_report, exported, sign
from crypto_core.reports.cells import ReportPage
from crypto_core.reports.foreign_text import masked
from crypto_core.reports.html import as_html, stylesheet
from crypto_core.reports.markdown import as_markdown
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import DatabaseError, MissingSchemaError, RefusedError


def _section_kinds() -> tuple[type[ReportSection], ...]:
    """Return the sections of the modules of sections/, and the one of other packages, by their places."""
    modules = (import_module(f"{sections.__name__}.{one.name}") for one in iter_modules(sections.__path__))
    found = (one for module in (*modules, own_sections) for one in vars(module).values())
    kinds = dict.fromkeys(one for one in found if isinstance(one, type) and hasattr(one, "PLACE"))
    return tuple(sorted(kinds, key=lambda kind: kind.PLACE))


SECTIONS = _section_kinds()
STYLESHEET = stylesheet("".join(kind.WIDTHS for kind in SECTIONS), "#summary, #times, #signature")
_log = logging.getLogger(__name__)
ACTION = "incident report"
"""What the journal calls a signed report."""
ENTRIES_READ = 100_000
"""How many of the journal's newest entries are read for a report; the number left out is shown."""


def build(sources: Sources) -> Report:
    kinds = (kind for kind in SECTIONS if kind is not own_sections.OwnSections or own_sections.are_used())
    return masked(Report(tuple(sources.section(kind) for kind in kinds)))


def html_report(signed: Signed) -> str:
    return as_html(_page(signed), STYLESHEET)


def markdown_report(signed: Signed) -> str:
    return as_markdown(_page(signed))


def _page(signed: Signed) -> ReportPage:
    summary = signed.report.section(overview.SummarySection)
    head = summary.head
    return ReportPage(
        "Incident report",
        head.name,
        head.title,
        summary.headline,
        summary.figures,
        signed.shown_sections(),
        draft=head.state == overview.DRAFT,
    )


FORMS: Mapping[str, Callable[[Signed], str]] = {
    "markdown": markdown_report,
    "html": html_report,
    "json": exported,
}
"""What a report can be had as."""


class ReportService:
    """Reports of incidents. Writes nothing but that it has signed one; with --read-only nothing is signed."""

    def __init__(
        self,
        evidence: Callable[[int, int], str],
        journal: Journal,
        signer: Signer | None = None,
        *,
        verified: Callable[[], JournalCheck] | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        no_signer_because: str = NO_KEY,
        host: str = "",
        version: str = "",
    ) -> None:
        """`evidence` returns a piece's content by the incident's number and the piece's own, `verified` what
        the journal's verification finds: by default that of its chain alone.
        """
        self._evidence = evidence
        self._journal = journal
        self._signer = signer
        self._verified = verified or JournalCheckpoints(journal, None, read_only=True).verify
        self._clock = clock
        self._no_signer_because = no_signer_because
        self._host = host or socket.gethostname()
        self._version = version or metadata.version("keydeck")

    def report(self, view: IncidentView, form: str = "markdown") -> str:
        """Return the report as "markdown", "html" or "json". Raises RefusedError for another form."""
        render = FORMS.get(form)
        if render is None:
            raise RefusedError(
                f"A report can't be had as {clean(form, 40)!r}.", remedy=f"Name one of: {', '.join(FORMS)}."
            )
        return render(self.signed(view))

    def reports(self, view: IncidentView) -> dict[str, str]:
        """Return one signed document in every form, by its name: the JSON is what the signature is over."""
        signed = self.signed(view)
        return {form: render(signed) for form, render in FORMS.items()}

    def signed(self, view: IncidentView) -> Signed:
        """Return the document with its signature. It names a failed journal or key."""
        entries, state, remarks, database_id = self._read_journal(view)
        report = build(
            Sources(
                view,
                tuple(
                    read(piece, lambda number: self._evidence(view.incident.id, number))
                    for piece in view.evidence
                ),
                journal=entries,
                journal_state=state,
                database_id=database_id,
                now=self._clock(),
                host=self._host,
                version=self._version,
                remarks=remarks,
            )
        )
        signed = sign(report, self._signer, no_signer_because=self._no_signer_because)
        self._record(view, signed)
        return signed

    def verify(self, text: str) -> ReportCheck:
        """Return whether an exported JSON report is what the configured key signed, or what is wrong with it.

        Wrong is also that it is of another database than the journal here, if there is one. Raises
        RefusedError for a signed one without a key, KmsError where KMS can't be asked, DatabaseError.
        """
        return check_report(
            text,
            self._signer,
            no_signer_because=self._no_signer_because,
            database_id=self._database_id(),
            signed_at=self._signed_at,
        )

    def _signed_at(self, sha256: str) -> SigningTime | None:
        try:
            return self._journal.signing_time(ACTION, sha256)
        except MissingSchemaError:
            return None

    def _record(self, view: IncidentView, signed: Signed) -> None:
        """Journal a signature: PostgreSQL's time then tells by when it was made."""
        if signed.signature is None:
            return
        detail = {"sha256": signed.sha256, **signed.signature.as_json()}
        try:
            self._journal.record(ACTION, view.incident.name, Outcome.DONE, detail)
        except DatabaseError as error:
            _log.warning("A signed report was not journaled: %s", error.message)

    def _database_id(self) -> str:
        try:
            return self._journal.database_id()
        except MissingSchemaError:
            return ""  # no journal here that the report could be of another one than

    def _read_journal(self, view: IncidentView) -> tuple[Sequence[JournalEntry], str, tuple[str, ...], str]:
        try:
            found = self._verified()
            entries = self._journal.entries(limit=ENTRIES_READ)
            database_id = self._journal.database_id()
        except DatabaseError as error:
            return (), "not read", (f"The journal could not be read: {error}",), ""
        if not entries:
            return (), "empty", (), database_id
        last = entries[-1]
        remarks = [*map(told_break, found.breaks), *filter(None, (found.unanchored_because,))]
        if found.unchecked:
            remarks.append(f"The journal's signatures were not checked: {found.unchecked}")
        since = f" from entry {found.breaks[-1].seq:,} on" if found.breaks else ""
        state = f"the chain is whole{since}; last entry {last.seq:,}, SHA-256 {last.digest.hex()}"
        if not found.whole:
            state = "the chain is broken"
            remarks.append(f"The journal is broken: {found.problems[0]}")
        if entries[0].seq > 1 and entries[0].at > view.incident.declared_at:
            remarks.append(f"Only the newest {len(entries):,} entries of the journal were read.")
        return entries, state, tuple(remarks), database_id

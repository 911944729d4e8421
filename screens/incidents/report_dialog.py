"""Where to write the report, in which form, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.content import Content
from textual.widgets import Input

from crypto_core.cancelling import Cancellation
from crypto_core.incidents.model import Incident
from crypto_core.lists.new_files import ExportError, write_new
from screens.facts import Facts
from screens.incidents.work import incident_work
from screens.routes import Followed
from screens.widgets.cells import fit
from screens.widgets.dialog import framed
from screens.widgets.file_dialog import FileDialog
from screens.widgets.line_list import Line, LineList

if TYPE_CHECKING:
    from crypto_core.incidents.service import IncidentService


@dataclass(frozen=True, slots=True)
class Form:
    """A form of the report: the service's name for it, and how a file's name ends; both "" for all forms."""

    name: str
    ending: str
    words: str


FORMS = (
    Form("html", ".html", "HTML: one file, prints well"),
    Form("markdown", ".md", "Markdown"),
    Form("json", ".json", "JSON: for other programs, and to be verified"),
    Form("", "", "All three, of one signed document"),
)


class ReportDialog(FileDialog):
    """Asks for a file, writes the report into it, and says where it is."""

    DEFAULT_CSS = "ReportDialog #forms { height: 4; }"

    def __init__(self, facts: Facts, incident: Incident, path: str = "") -> None:
        super().__init__(facts, path or f"keydeck-{incident.name}-{facts.clock():%Y%m%d-%H%M}.html")
        self._incident = incident

    def compose(self) -> ComposeResult:
        with framed(f"Report of {self._incident.name}"):
            yield LineList(id="forms")
            yield from self.asking(
                "Only you may read the file. It holds no token; hashes prove its evidence."
            )

    def on_mount(self) -> None:
        self.query_one("#forms", LineList).write(
            lambda size: [
                Line(Content.assemble(" ", fit(form.words, max(size.width - 2, 8))), form) for form in FORMS
            ]
        )

    @on(Followed)
    def choose(self, event: Followed) -> None:
        """Let the file's name end as the form does."""
        event.stop()
        if isinstance(event.target, Form):
            line = self.query_one("#path", Input)
            line.value = str(Path(line.value.strip() or "report").with_suffix(event.target.ending))
            line.focus()

    def writer(self, path: Path) -> Callable[[Cancellation], int]:
        service, number = incident_work(self._facts), self._incident.id
        self.say(Content("Writing the report…"))
        return lambda _: write_report(service, number, path)

    def done(self, written: int, path: Path) -> str:
        return f"{written:,} characters in {_named(path)}."


def _named(path: Path) -> str:
    name = str(path)
    return name if path.suffix else f"{name}.html, {name}.md and {name}.json"


def write_report(service: IncidentService, incident: int, path: Path) -> int:
    """Write the report in the form that the file's name says, to a new file; returns its characters.

    A name without an ending is that of three files, one for each form. Raises ExportError for a name that
    says no form or is taken, and what the service raises.
    """
    form = next((form for form in FORMS if path.suffix.lower() == form.ending), None)
    if form is None or not path.name:
        raise ExportError(f"{path}: the name of a report must end in .html, .md or .json.")
    if form.name:
        texts = {path: service.report(incident, form.name)}
    else:
        reports = service.reports(incident)
        texts = {path.with_name(f"{path.name}{one.ending}"): reports[one.name] for one in FORMS if one.name}
    write_new(texts)
    return sum(map(len, texts.values()))

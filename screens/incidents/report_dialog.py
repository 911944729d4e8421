"""Where to write the report, in which form, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Button, Input, Static

from crypto_core.incidents.model import Incident
from crypto_core.lists.new_files import ExportError, write_new
from screens.asking import PendingCall, ask
from screens.blocking import Trouble
from screens.facts import Facts
from screens.incidents.work import incident_work
from screens.routes import Followed
from screens.widgets.cells import fit
from screens.widgets.dialog import Dialog, button
from screens.widgets.line_input import LineInput
from screens.widgets.line_list import Line, LineList
from screens.widgets.notice import trouble_content

if TYPE_CHECKING:
    from crypto_core.incidents.service import IncidentService

_LONG = 600.0


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


class ReportDialog(Dialog[None]):
    """Asks for a file, writes the report into it, and says where it is."""

    DEFAULT_CSS = """
    ReportDialog #path { border: none; height: 1; padding: 0 1; background: $panel; margin: 1 0; }
    ReportDialog #forms { height: 4; }
    """

    def __init__(self, facts: Facts, incident: Incident, path: str = "") -> None:
        super().__init__()
        self._facts = facts
        self._incident = incident
        self._path = path or f"keydeck-{incident.name}-{facts.clock():%Y%m%d-%H%M}.html"
        self._asked: PendingCall[int] | None = None

    def compose(self) -> ComposeResult:
        """The forms, the file's name, and the ways on and back."""
        with Vertical(classes="frame") as frame:
            frame.border_title = Content(f"Report of {self._incident.name}")
            yield LineList(id="forms")
            yield LineInput(self._path, id="path")
            yield Static(
                Content("Only you may read the file. It holds no token; hashes prove its evidence."),
                id="said",
            )
            with Horizontal(classes="buttons"):
                yield button("Cancel", "cancel")
                yield button("Write", "write")

    def on_mount(self) -> None:
        """The file's name first; the forms are above it."""
        self.query_one("#forms", LineList).write(
            lambda size: [
                Line(Content.assemble(" ", fit(form.words, max(size.width - 2, 8))), form) for form in FORMS
            ]
        )
        self.query_one("#path").focus()

    def on_unmount(self) -> None:
        """Nobody waits any more."""
        if self._asked is not None:
            self._asked.drop()

    @on(Followed)
    def choose(self, event: Followed) -> None:
        """Let the file's name end as the form does."""
        event.stop()
        if isinstance(event.target, Form):
            line = self.query_one("#path", Input)
            line.value = str(Path(line.value.strip() or "report").with_suffix(event.target.ending))
            line.focus()

    @on(Input.Submitted, "#path")
    @on(Button.Pressed, "#write")
    def write(self) -> None:
        """Write the file."""
        if self._asked is not None and self._asked.waiting:
            return
        path = Path(self.query_one("#path", Input).value.strip()).expanduser()
        service, number = incident_work(self._facts), self._incident.id
        self.query_one("#said", Static).update(Content("Putting the report together…"))
        self._asked = ask(
            self,
            lambda _: write_report(service, number, path),
            lambda answer: self._ended(answer, path),
            group="report",
            limit=_LONG,
        )

    def _ended(self, answer: int | Trouble, path: Path) -> None:
        said = self.query_one("#said", Static)
        if isinstance(answer, Trouble):
            said.update(trouble_content(answer))
            return
        said.update(
            Content.assemble(
                ("● ", "$success"), f"{answer:,} characters in {_named(path)}. Only you may read it."
            )
        )
        self.query_one("#write").display = False
        close = self.query_one("#cancel", Button)
        close.label = Content(" Close ")
        close.focus()


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
        raise ExportError(f"{path}: a report's name ends in .html, .md or .json.")
    if form.name:
        texts = {path: service.report(incident, form.name)}
    else:
        reports = service.reports(incident)
        texts = {path.with_name(f"{path.name}{one.ending}"): reports[one.name] for one in FORMS if one.name}
    write_new(texts)
    return sum(map(len, texts.values()))

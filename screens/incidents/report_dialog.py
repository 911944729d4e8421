"""Where to write the report, in which form, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from textual import on
from textual.app import ComposeResult
from textual.content import Content
from textual.widgets import Input

from crypto_core.incidents.model import Incident
from crypto_core.values.cancellation import Cancellation
from screens.facts import ScreenFacts
from screens.incidents.work import write_report
from screens.routes import Followed
from screens.widgets.cells import fit
from screens.widgets.dialog import framed
from screens.widgets.file_dialog import FileDialog
from screens.widgets.line_list import Line, LineList

FORMS = {
    ".html": "HTML: one file, prints well",
    ".md": "Markdown",
    ".json": "JSON: for other programs, and to be verified",
    "": "All three, of one signed document",
}
"""Of each ending of a file's name, what it says of the report's form."""


class ReportDialog(FileDialog):
    """Asks for a file, writes the report into it, and says where it is."""

    DEFAULT_CSS = "ReportDialog #forms { height: 4; }"

    def __init__(self, facts: ScreenFacts, incident: Incident, path: str = "") -> None:
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
                Line(Content.assemble(" ", fit(words, max(size.width - 2, 8))), ending)
                for ending, words in FORMS.items()
            ]
        )

    @on(Followed)
    def choose(self, event: Followed) -> None:
        """Let the file's name end as the form does."""
        event.stop()
        if isinstance(event.target, str):
            line = self.query_one("#path", Input)
            line.value = str(Path(line.value.strip() or "report").with_suffix(event.target))
            line.focus()

    def writer(self, path: Path) -> Callable[[Cancellation], int]:
        service, number = self._facts.services.incidents, self._incident.id
        self.say(Content("Writing the report…"))
        return lambda _: sum(map(len, write_report(service, number, path).values()))

    def done(self, written: int, path: Path) -> str:
        return f"{written:,} characters in {_named(path)}."


def _named(path: Path) -> str:
    name = str(path)
    return name if path.suffix else f"{name}.html, {name}.md and {name}.json"

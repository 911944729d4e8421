"""Where to write what the filter lets through, how far that is, and what came of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Button, Input, Static

from crypto_core.cancelling import Cancellation
from crypto_core.lists.paging import Query, pages_of
from screens.asking import PendingCall, ask
from screens.blocking import Trouble
from screens.facts import Facts
from screens.widgets.dialog import Dialog, button
from screens.widgets.line_input import LineInput
from screens.widgets.notice import trouble_content
from screens.widgets.table.exporting import PAGE, export
from screens.widgets.table.listing import Listing
from screens.widgets.table.marks import Marks

Row = TypeVar("Row")

_DAY = 86_400.0


class ExportDialog(Dialog[None], Generic[Row]):
    """Asks for a file, writes it in the background, says how many rows are in it."""

    DEFAULT_CSS = """
    ExportDialog #path { border: none; height: 1; padding: 0 1; background: $panel; margin: 1 0; }
    """

    def __init__(
        self, facts: Facts, listing: Listing[Row], query: Query, marks: Marks[Row], path: str
    ) -> None:
        super().__init__()
        self._facts = facts
        self._listing = listing
        self._query = query
        self._marked = marks.rows if marks and not marks.whole else None
        self._all_but = marks.rows if marks.whole else ()
        self._path = path or self._proposed()
        self._asked: PendingCall[int] | None = None
        self._written = 0

    def compose(self) -> ComposeResult:
        """What is written, where to, and the way back."""
        with Vertical(classes="frame") as frame:
            frame.border_title = Content("Export")
            yield Static(
                Content(f"{self._what()}\nA name that ends in .csv gives CSV, in .jsonl JSON lines.")
            )
            yield LineInput(self._path, id="path")
            yield Static(id="said")
            with Horizontal(classes="buttons"):
                yield button("Cancel", "cancel")
                yield button("Write", "write")

    def on_mount(self) -> None:
        """The file's name first."""
        self.query_one("#path").focus()
        self.set_interval(0.2, self._show_progress)

    def on_unmount(self) -> None:
        """Nobody waits any more; what was begun leaves no file."""
        if self._asked is not None:
            self._asked.drop()

    @on(Input.Submitted, "#path")
    @on(Button.Pressed, "#write")
    def write(self) -> None:
        """Write the file."""
        if self._asked is not None and self._asked.waiting:
            return
        path = Path(self.query_one("#path", Input).value.strip()).expanduser()
        listing = self._listing
        source, query, marked = listing.source(self._facts), self._query, self._marked
        left_out = {listing.identity(row) for row in self._all_but}

        def rows(cancelled: Cancellation) -> Iterator[Sequence[Row]]:
            if marked is not None:
                yield marked
                return
            for page in pages_of(source, query, size=PAGE, cancelled=cancelled):
                yield [row for row in page if listing.identity(row) not in left_out]

        self._written = 0
        self._asked = ask(
            self,
            lambda cancelled: export(
                rows(cancelled), listing.record, path, progress=self._note, cancelled=cancelled
            ),
            lambda answer: self._ended(answer, path),
            group="export",
            limit=_DAY,
        )
        self._show_progress()

    def _note(self, written: int) -> None:
        self._written = written

    def _show_progress(self) -> None:
        if self._asked is not None and self._asked.waiting:
            words = f"{self._listing.counted(self._written)} written…  Esc stops; then no file is left."
            self.query_one("#said", Static).update(Content(words))

    def _ended(self, answer: int | Trouble, path: Path) -> None:
        said = self.query_one("#said", Static)
        if isinstance(answer, Trouble):
            said.update(trouble_content(answer))
            return
        said.update(
            Content.assemble(
                ("● ", "$success"),
                f"{self._listing.counted(answer)} in {path}. Only you may read it.",
            )
        )
        self.query_one("#write").display = False
        close = self.query_one("#cancel", Button)
        close.label = Content(" Close ")
        close.focus()

    def _what(self) -> str:
        if self._marked is not None:
            return f"The {self._listing.counted(len(self._marked))} that are marked."
        words = f"All {self._listing.many}" + (
            f" that {self._query.filter} lets through" if self._query.filter else ""
        )
        return words + (f", but for {len(self._all_but):,}." if self._all_but else ".")

    def _proposed(self) -> str:
        return f"keydeck-{self._listing.name}-{self._facts.clock():%Y%m%d-%H%M}.csv"

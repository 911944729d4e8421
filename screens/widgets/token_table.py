"""A table of tokens over keyset pages: rows arrive page by page, and only those in sight are painted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.events import Resize
from textual.message import Message

from crypto_core.database.inventory import InventoryQuery, InventoryRow, SortKey
from crypto_core.references import TokenRef
from screens.facts import Facts
from screens.signs import row_sign
from screens.widgets.cells import fit
from screens.widgets.cursor_view import CursorView
from screens.widgets.token_columns import Placed, place, wanted

NEAR_END = 60
"""How many rows from the last loaded one the cursor has to be for the next page to be asked for."""


@dataclass(frozen=True, slots=True)
class Ending:
    """What the line below the last loaded row says, if anything; `more` while there is a page behind it."""

    more: bool = False
    text: str = ""


class TokenTable(CursorView):
    """Rows with a cursor and marks. Marks and the cursor belong to tokens, so they survive a refresh."""

    STICKY = 1
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "choose", "ask KMS", tooltip="Ask KMS which key wrapped this data key"),
        Binding("space", "mark", "mark", tooltip="Mark or unmark the token, then the next one"),
        Binding("u", "unmark", "unmark all", show=False, tooltip="Take all marks away"),
    ]

    class NeedsMore(Message):
        """The cursor came near the last loaded row, and there is another page."""

    class MarksChanged(Message):
        """The operator marked or unmarked tokens."""

    def __init__(self, facts: Facts, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self._facts = facts
        self._rows: list[InventoryRow] = []
        self._places: dict[TokenRef, int] = {}
        self._ending = Ending()
        self._marks: dict[TokenRef, None] = {}
        self._columns: tuple[Placed, ...] = ()
        self._wanted: dict[str, int] = {}
        self._query = InventoryQuery()
        self._keys = facts.key_words

    @property
    def rows(self) -> Sequence[InventoryRow]:
        """The rows that are loaded."""
        return self._rows

    @property
    def current(self) -> InventoryRow | None:
        """The row under the cursor."""
        return self._rows[self.cursor] if self.cursor < len(self._rows) else None

    @property
    def marks(self) -> tuple[TokenRef, ...]:
        """The marked tokens, in the order in which they were marked."""
        return tuple(self._marks)

    def fill(self, rows: Iterable[InventoryRow], ending: Ending, query: InventoryQuery) -> None:
        """Show these rows from the top. The cursor stays on its token if that
        is among them, else near its place.
        """
        here = self.current.ref if self.current else None
        same = query == self._query
        self._query = query
        self._rows = list(rows)
        self._index()
        self._ending = ending
        self._wanted = {}
        self._place(self._rows)
        cursor = self._places.get(here, self.cursor if same else 0) if here else 0
        self.lines_changed(cursor)

    def append(self, rows: Iterable[InventoryRow], ending: Ending) -> None:
        """Show another page below. A token that is shown already (its place in the order
        changed meanwhile) stays where it is.
        """
        further = [row for row in rows if row.ref not in self._places]
        self._rows += further
        self._index()
        self._ending = ending
        self._place(further)
        self.lines_changed(self.cursor)

    def end_with(self, ending: Ending) -> None:
        """Change what stands below the last row."""
        self._ending = ending
        self.lines_changed(self.cursor)

    def replace(self, rows: Iterable[InventoryRow], gone: Iterable[TokenRef] = ()) -> None:
        """Show tokens as they are now, where they stand, and leave out those that are no longer there."""
        for row in rows:
            if row.ref in self._places:
                self._rows[self._places[row.ref]] = row
                self._place([row])
        vanished = set(gone)
        if vanished:
            above = sum(1 for ref in vanished if self._places.get(ref, self.cursor) < self.cursor)
            self._rows = [row for row in self._rows if row.ref not in vanished]
            self._marks = {ref: None for ref in self._marks if ref not in vanished}
            self._index()
            self.lines_changed(self.cursor - above)
        else:
            self.lines_changed(self.cursor)

    def clear_marks(self) -> None:
        """Take all marks away."""
        self._marks.clear()
        self.refresh()
        self.post_message(self.MarksChanged())

    def facts_changed(self) -> None:
        """Paint anew: keys may have got names."""
        self._keys = self._facts.key_words
        self._place(self._rows[:NEAR_END])
        self.refresh()

    def line_count(self) -> int:
        """The loaded rows, and a last line where there is something to say."""
        return len(self._rows) + (1 if self._ending.text else 0)

    def selectable(self, index: int) -> bool:
        """True for rows."""
        return index < len(self._rows)

    def marks_line(self, index: int) -> bool:
        """True if the row's token is marked."""
        return index < len(self._rows) and self._rows[index].ref in self._marks

    def heading(self) -> Content:
        """The headings; the one that the table is sorted by has an arrow."""
        arrow = sort_arrow(self._query)
        parts: list[str | tuple[str, str]] = ["   "]
        if self._query.sort is SortKey.STATE:
            parts = [(f" {arrow} ", "$accent")]
        for placed in self._columns:
            heading = placed.column.heading
            if placed.column.sort is self._query.sort:
                parts.append((fit(f"{heading} {arrow}", placed.width), "$accent"))
            else:
                parts.append((fit(heading, placed.width), "$muted"))
            parts.append("  ")
        return Content.assemble(*parts)

    def line(self, index: int) -> Content:
        """One token, or what stands below the last one."""
        if index >= len(self._rows):
            return Content.assemble(("   ", ""), (self._ending.text, "$muted"))
        row = self._rows[index]
        sign = row_sign(row, self._keys)
        now = self._facts.clock()
        parts: list[str | tuple[str, str]] = [
            ("▌" if row.ref in self._marks else " ", "$accent"),
            sign,
            " ",
        ]
        for placed in self._columns:
            text, style = placed.column.cell(row, self._keys, now)
            parts.append((placed.column.cut(text, placed.width), style))
            parts.append("  ")
        return Content.assemble(*parts)

    def move_to(self, index: int, direction: int = 1) -> None:
        """Put the cursor on a row; near the end of what is loaded, ask for more."""
        super().move_to(index, direction)
        if self._ending.more and self.cursor >= len(self._rows) - NEAR_END:
            self.post_message(self.NeedsMore())

    def on_resize(self, event: Resize) -> None:
        """Choose the columns for the new width."""
        self._columns = place(event.size.width - 3, self._wanted)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Grey out what needs a row where there is none."""
        if action in ("mark", "choose") and not self._rows:
            return None
        return True

    def action_mark(self) -> None:
        """Mark or unmark the token under the cursor."""
        row = self.current
        if row is None:
            return
        if row.ref in self._marks:
            del self._marks[row.ref]
        else:
            self._marks[row.ref] = None
        self._refresh_line(self.cursor)
        self.post_message(self.MarksChanged())
        self.action_step(1)

    def action_unmark(self) -> None:
        """Take all marks away."""
        self.clear_marks()

    def _place(self, rows: Iterable[InventoryRow]) -> None:
        """Give the columns room for further rows. They only grow, so that nothing jumps."""
        for heading, width in wanted(rows, self._keys, self._facts.clock()).items():
            self._wanted[heading] = max(width, self._wanted.get(heading, 0))
        self._columns = place(self.size.width - 3, self._wanted)

    def _index(self) -> None:
        self._places = {row.ref: i for i, row in enumerate(self._rows)}


def sort_arrow(query: InventoryQuery) -> str:
    """Down where the greatest comes first: by state the worst, unless reversed."""
    return "↓" if query.descending != (query.sort is SortKey.STATE) else "↑"

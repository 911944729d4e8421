"""Keys: which KMS keys guard the tokens, and in what state are they?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.geometry import Size
from textual.widget import Widget
from textual.widgets import Static

from screens.ages import ago
from screens.keys.detail import key_lines
from screens.keys.lines import list_lines
from screens.main_screen import MainScreen
from screens.routes import KeyBehind
from screens.widgets.cursor_view import CursorView
from screens.widgets.hint_line import HintLine
from screens.widgets.line_list import Line, LineList, indented
from screens.widgets.notice import Notice


class KeysScreen(MainScreen):
    """All keys that this identity may list, those with most tokens first."""

    CSS_PATH = "screen.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "refresh", "refresh", tooltip="Ask KMS for the keys anew"),
    ]

    def body(self) -> Iterable[Widget]:
        """Trouble if there is any, the keys, and the one under the cursor at a glance."""
        yield Notice()
        yield LineList()
        yield Static(id="glance")
        yield HintLine()

    def show_facts(self) -> None:
        """Paint the keys that are known now."""
        fact = self.facts.keys
        count = Content.assemble((f"{len(fact.value)} keys", "$muted")) if fact.value else Content("")
        self.header.say(Content.assemble(("Keys", "bold"), (" ›", "$muted")), count)
        self.header.fresh(fact.at, asking=fact.asking)
        context = ""
        if fact.trouble is not None and fact.at is not None:
            context = f"Shown is what was known {ago(fact.at, self.facts.clock())}."
        self.query_one(Notice).tell(fact.trouble, context)
        self.query_one(LineList).write(self._lines)

    def _lines(self, size: Size) -> Sequence[Line]:
        fact = self.facts.keys
        if fact.value is None:
            words = " No answer yet: r asks again." if fact.trouble else " Asking KMS for keys…"
            return [Line(Content.assemble((words, "$muted")))]
        if not fact.value:
            return [
                Line(Content("")),
                Line(Content(" KMS shows no key to this identity in this Region.")),
                Line(Content(" Listing takes kms:ListKeys and kms:DescribeKey. Is the Region right?")),
            ]
        lines = list_lines(fact.value, self.facts.status.value, self.facts.clock(), size.width - 3)
        return indented(lines)

    @on(CursorView.Moved)
    def show_glance(self) -> None:
        """Show what the list knows of the key under the cursor, and what Enter leads to."""
        line = self.query_one(LineList).current
        width = max(self.size.width - 2, 10)
        self.query_one(HintLine).say(line.hint if line is not None else "")
        key = None
        if line is not None and isinstance(line.target, KeyBehind):
            key = self.facts.key_words.find(line.target.key_arn)
        glance = self.query_one("#glance", Static)
        glance.display = key is not None
        if key is not None:
            lines = key_lines(key, self.facts.status.value, self.facts.clock(), width)
            name = Content.assemble((self.facts.key_words.long(key.key_arn), "bold"))
            glance.update(Content("\n").join([name, *(line.content for line in lines)]))

    def action_refresh(self) -> None:
        """Ask for the keys anew, and for the tokens under them."""
        self.facts.ask_surroundings()
        self.facts.ask_keys()
        self.facts.ask_status()

"""One key: what KMS says of it, its materials, and the tokens under each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import ClassVar

from textual.binding import BindingType
from textual.content import Content
from textual.geometry import Size
from textual.widget import Widget

from crypto_core.keys.state import KeyState
from screens.actions.action import Scope
from screens.actions.performing import bindings
from screens.asking import ask
from screens.blocking import Trouble
from screens.facts import Facts
from screens.keys.detail import key_lines
from screens.main_screen import MainScreen
from screens.widgets.hint_line import HintLine
from screens.widgets.line_list import Line, LineList, indented
from screens.widgets.notice import Notice


class KeyScreen(MainScreen):
    """What the list says of the key at once, and what KMS says when it's asked about this one."""

    NAME = "key"
    EVERY = 60.0
    ACTS: ClassVar[tuple[Scope, ...]] = (Scope.KEY,)
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(Scope.KEY)]

    def __init__(self, facts: Facts, key_arn: str) -> None:
        super().__init__(facts)
        self.key_arn = key_arn
        self._key: KeyState | None = facts.key_words.find(key_arn)
        self._at: datetime | None = facts.keys.at if self._key else None
        self._trouble: Trouble | None = None
        self._asking = False

    def body(self) -> Iterable[Widget]:
        """Trouble if there is any, the key, and a word on the line under the cursor."""
        yield Notice()
        yield LineList()
        yield HintLine()

    def on_mount(self) -> None:
        """Ask for what the list doesn't say."""
        self.ask_anew()

    @property
    def crumb(self) -> tuple[str, str]:
        """The key's name."""
        return "Key", self.facts.key_words.long(self.key_arn)

    @property
    def freshness(self) -> tuple[datetime | None, bool]:
        """When KMS told of the key, and whether it's being asked."""
        return self._at, self._asking

    def ask_anew(self) -> None:
        """Ask KMS about this key anew."""
        if not self._asking:
            self._asking = True
            show = self.facts.services.keys.show
            ask(self, lambda _: show(self.key_arn), self._keep, group="key")
            self.show_facts()

    def _keep(self, answer: KeyState | Trouble) -> None:
        """Keep the answer; after trouble, what was known before stays."""
        self._asking = False
        if isinstance(answer, Trouble):
            self._trouble = answer
        else:
            self._key, self._trouble, self._at = answer, None, self.facts.clock()
        if self.is_mounted:
            self.show_facts()

    def show_facts(self) -> None:
        """Paint the key as far as it is known."""
        self.show_path()
        self.query_one(Notice).tell(self._trouble)
        self.query_one(LineList).write(self._lines)

    def _lines(self, size: Size) -> Sequence[Line]:
        if self._key is None:
            words = " No answer: r asks again." if self._trouble else " Asking KMS…"
            return [Line(Content.assemble((words, "$muted")))]
        lines = key_lines(self._key, self.facts.status.value, self.facts.clock(), size.width - 3)
        return indented(lines)

    def cursor_moved(self) -> None:
        """Say what Enter leads to."""
        line = self.query_one(LineList).current
        self.query_one(HintLine).say(line.hint if line is not None else "")
        self.refresh_hints(line is not None)

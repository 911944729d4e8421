"""One key: all that KMS says of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import ClassVar

from textual import on, work
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.geometry import Size
from textual.message import Message
from textual.widget import Widget

from crypto_core.keys.state import KeyState
from screens.blocking import Trouble, attempt
from screens.facts import Facts
from screens.keys.detail import key_lines
from screens.main_screen import MainScreen
from screens.widgets.cursor_view import CursorView
from screens.widgets.hint_line import HintLine
from screens.widgets.line_list import Line, LineList, indented
from screens.widgets.notice import Notice


class KeyScreen(MainScreen):
    """What the list says of the key at once, and what KMS says when it's asked about this one."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "refresh", "refresh", tooltip="Ask KMS about this key anew"),
        Binding("escape", "back", "back", tooltip="Back to the keys"),
    ]

    class Came(Message):
        """A worker's answer."""

        def __init__(self, answer: KeyState | Trouble) -> None:
            super().__init__()
            self.answer = answer

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
        self.action_refresh()

    def action_refresh(self) -> None:
        """Ask KMS about this key anew."""
        if not self._asking:
            self._asking = True
            self.ask()
            self.show_facts()

    @work(thread=True, exclusive=True, exit_on_error=False, group="key")
    def ask(self) -> None:
        """Ask KMS about the key."""
        show = self.facts.services.keys.show
        self.post_message(self.Came(attempt(lambda: show(self.key_arn))))

    @on(Came)
    def keep(self, event: Came) -> None:
        """Keep the answer; after trouble, what was known before stays."""
        self._asking = False
        if isinstance(event.answer, Trouble):
            self._trouble = event.answer
        else:
            self._key, self._trouble, self._at = event.answer, None, self.facts.clock()
        self.show_facts()

    def show_facts(self) -> None:
        """Paint the key as far as it is known."""
        name = self.facts.key_words.long(self.key_arn)
        self.header.say(Content.assemble(("Keys", "bold"), (" › ", "$muted"), (name, "$accent")))
        self.header.fresh(self._at, asking=self._asking)
        self.query_one(Notice).tell(self._trouble)
        self.query_one(LineList).write(self._lines)

    def _lines(self, size: Size) -> Sequence[Line]:
        if self._key is None:
            words = " No answer: r asks again." if self._trouble else " Asking KMS…"
            return [Line(Content.assemble((words, "$muted")))]
        lines = key_lines(self._key, self.facts.status.value, self.facts.clock(), size.width - 3)
        return indented(lines)

    @on(CursorView.Moved)
    def show_hint(self) -> None:
        """Say what Enter leads to."""
        line = self.query_one(LineList).current
        self.query_one(HintLine).say(line.hint if line is not None else "")

    def action_back(self) -> None:
        """Back to the keys."""
        self.app.pop_screen()

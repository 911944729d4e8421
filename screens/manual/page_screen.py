"""One page of the manual; its links lead to others, and Esc back."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import ClassVar

from textual import on
from textual.content import Content

from crypto_core.values.cancellation import Cancellation
from screens.actions.action import Action
from screens.answer_screen import AnswerScreen
from screens.facts import ScreenFacts
from screens.manual.page_lines import Row, folded, page_rows
from screens.manual.page_list import lines_with, searched
from screens.manual_page import ManualPage, topic_of
from screens.routes import Followed, ManualPageRoute
from screens.widgets.event_text import EventText
from screens.widgets.line_list import Line
from screens.widgets.question import AskText

_STYLES = {"$code": "on $panel", "$block": "on $panel", "underline": "underline $accent"}
_HINT = "Enter: to that page."


class ManualPageScreen(AnswerScreen[ManualPage]):
    """A page to read. Another page takes its place; the way back is kept."""

    NAME = "manual-page"
    EVERY = 0.0
    ASKING = "Reading the page…"
    TEXT = EventText
    ACTS: ClassVar[tuple[str, ...]] = ("manual",)

    def __init__(self, facts: ScreenFacts, topic: str, expression: str = "") -> None:
        """`expression` is the filter that the page was found by: the cursor begins at what it looks for."""
        super().__init__(facts)
        self.topic = topic
        self._words = searched(expression)
        self._before: list[tuple[str, int]] = []
        """The pages that led here, each with the line that the cursor was on."""
        self._line: int | None = None
        """Where the cursor goes once the page is there; None is to what is looked for."""
        self._laid_out: tuple[object, list[Line]] = (None, [])

    @property
    def crumb(self) -> tuple[str, str]:
        return (self.answer.title if self.answer is not None else "Manual"), ""

    def ask_for(self, cancelled: Cancellation) -> ManualPage:
        return self.facts.services.manual.page(self.topic)

    def lines(self, answer: ManualPage, width: int) -> Iterable[Line]:
        asked = (answer.topic, width)
        if self._laid_out[0] != asked:
            rows = [part for row in page_rows(answer.text, width) for part in folded(row, width)]
            self._laid_out = asked, [_line(row) for row in rows]
        return self._laid_out[1]

    def knows(self, answer: ManualPage, at: datetime | None) -> None:
        super().knows(answer, None)
        self.call_after_refresh(self._begin)

    def _begin(self) -> None:
        text = self.query_one(EventText)
        if self._line is None and self._words:
            self._line = next(iter(self._found()), 0)
        text.move_to(self._line or 0)

    def _found(self) -> list[int]:
        written = self.query_one(EventText).written
        return lines_with(self._words, (line.content.plain for line in written))

    @on(Followed)
    def turn_to(self, event: Followed) -> None:
        if isinstance(event.target, ManualPageRoute):
            event.stop()
            self._before.append((self.topic, self.query_one(EventText).cursor))
            self._show(event.target.topic, 0)

    def _show(self, topic: str, line: int) -> None:
        self.topic, self.answer, self._line = topic, None, line
        self.stop_asking()
        self.ask_anew()

    def back(self) -> bool:
        if not self._before:
            return False
        self._show(*self._before.pop())
        return True

    def possible(self, action: Action) -> bool | None:
        """There is a next place only where something is looked for."""
        if action.id == "manual.next" and not self._words:
            return None
        return super().possible(action)

    def do_next(self) -> None:
        """To the next line that has what is looked for, after the last one to the first."""
        text = self.query_one(EventText)
        found = self._found()
        if not found:
            self.say("Nothing on this page has it.")
            return
        text.move_to(next((number for number in found if number > text.cursor), found[0]))

    def do_find(self, words: str) -> None:
        if words:
            self._find(words)
        else:
            question = AskText("Find on this page", "Which words?", " ".join(self._words), label="Find")
            self.app.push_screen(question, self._find)

    def _find(self, words: str | None) -> None:
        if words:
            self._words = (words.lower(),)
            self.refresh_bindings()
            self.do_next()


def _line(row: Row) -> Line:
    target = next((topic_of(piece.link) for piece in row if piece.link), "")
    content = Content.assemble(*((piece.text, _style(piece.style)) for piece in row))
    return Line(content, ManualPageRoute(target) if target else None, _HINT if target else "")


def _style(style: str) -> str:
    return " ".join(_STYLES.get(word, word) for word in style.split())

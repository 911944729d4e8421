"""What the pages about use have in common: counting ends when the page is left, and begins anew on return."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

from textual.geometry import Size

from screens.answer_screen import AnswerScreen
from screens.widgets.line_list import Line

Answer = TypeVar("Answer")


class UseScreen(AnswerScreen[Answer], Generic[Answer]):
    """One answer over the store's events, maybe of thousands of lines: written once for each width."""

    EVERY = 60.0
    ASKING = "Counting events…"
    _written: tuple[tuple[object, ...], Sequence[Line]] = ((), ())

    @property
    def shown_besides(self) -> object:
        """What else the lines are written from: they are written anew once it is another."""
        return None

    def on_screen_suspend(self) -> None:
        """Stop asking once the screen is closed, not merely covered by another one."""
        if self not in self.app.screen_stack:
            self.stop_asking()

    def on_screen_resume(self) -> None:
        """Load again if the screen was left before the answer came."""
        if self.is_mounted and self.answer is None and self.trouble is None:
            self.ask_anew()

    def on_unmount(self) -> None:
        self.stop_asking()

    def _lines(self, size: Size) -> Sequence[Line]:
        facts = self.facts
        today = facts.clock().date()
        about = (self.answer, self.trouble, size.width, facts.key_words, today, self.shown_besides)
        before = self._written[0]
        if len(before) != len(about) or any(
            a is not b and a != b for a, b in zip(about, before, strict=True)
        ):
            self._written = about, super()._lines(size)
        return self._written[1]

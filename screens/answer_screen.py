"""What the screens have in common that are one page about one answer: asked for, kept, painted as lines.

On a page about use, counting ends when the page is left, and begins anew on return.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import ClassVar, Generic, TypeVar

from textual.content import Content
from textual.geometry import Size

from crypto_core.values.cancellation import Cancellation
from screens.blocking_calls import Failure
from screens.facts import ScreenFacts
from screens.main_screen import MainScreen
from screens.widgets.line_list import Line, LineList, indented
from screens.widgets.notice import NoticeBar
from screens.worker_calls import LIMIT_SECONDS, PendingCall, ask

Answer = TypeVar("Answer")


class AnswerScreen(MainScreen, Generic[Answer]):
    """The last answer stays while a new one is asked for, and when there is none."""

    ASKING: ClassVar[str] = "Asking KMS…"
    """What stands there before the first answer."""
    LIMIT: ClassVar[float] = LIMIT_SECONDS

    def __init__(self, facts: ScreenFacts) -> None:
        super().__init__(facts)
        self.answer: Answer | None = None
        self._at: datetime | None = None
        self._trouble: Failure | None = None
        self._tried: datetime | None = None
        self._asking = False
        self._asked: PendingCall[Answer] | None = None
        self._began = self._took = 0.0

    def ask_for(self, cancelled: Cancellation) -> Answer:
        """Return the answer; called in a worker. Raises what the service raises."""
        raise NotImplementedError

    def lines(self, answer: Answer, width: int) -> Iterable[Line]:
        """Return the page as lines of at most `width` cells."""
        raise NotImplementedError

    def on_mount(self) -> None:
        self.ask_anew()

    @property
    def freshness(self) -> tuple[datetime | None, bool]:
        return self._at, self._asking

    @property
    def tried(self) -> datetime | None:
        """When it was last asked for in vain: the next time is as far off as after an answer."""
        return self._tried

    @property
    def took(self) -> float:
        """Seconds that the last answer took: what takes long is asked for less often."""
        return self._took

    @property
    def trouble(self) -> Failure | None:
        """Why the last question has no answer, if it has none."""
        return self._trouble

    def knows(self, answer: Answer, at: datetime | None) -> None:
        """Start from facts that another screen has loaded."""
        self.answer, self._at = answer, at

    def ask_anew(self) -> None:
        if not self._asking:
            self._asking = True
            self._began = self.facts.timer()
            self._asked = ask(self, self.ask_for, self._keep, group=self.NAME, limit=self.LIMIT)
            self.show_facts()

    def stop_asking(self) -> None:
        """End the call that is under way; its answer is lost."""
        if self._asked is not None:
            self._asked.drop()
        self._asking = False

    def _keep(self, answer: Answer | Failure) -> None:
        self._asking = False
        if isinstance(answer, Failure):
            self._trouble, self._tried = answer, self.facts.clock()
        else:
            self._trouble, self._tried, self._took = None, None, self.facts.timer() - self._began
            self.knows(answer, self.facts.clock())
        if self.is_mounted:
            self.show_facts()

    def show_facts(self) -> None:
        self.show_path()
        self.query_one(NoticeBar).tell(self._trouble)
        self.query_one(LineList).write(self._lines)

    def _lines(self, size: Size) -> Sequence[Line]:
        if self.answer is None:
            words = "No answer: r asks again." if self._trouble else self.ASKING
            return indented([Line(Content.assemble((words, "$muted")))])
        return indented(self.lines(self.answer, size.width - 3))


class UseScreen(AnswerScreen[Answer], Generic[Answer]):
    """One answer, maybe of thousands of lines: written once for each width, asked for while it is open."""

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

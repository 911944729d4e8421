"""What the main screens have in common: header, key hints, shared facts, refreshing, and the way back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, ClassVar, TypeVar

from textual import on
from textual.app import ComposeResult
from textual.content import Content
from textual.screen import Screen
from textual.timer import Timer
from textual.widget import Widget

from screens.actions.action import Action
from screens.actions.performer import Actor
from screens.blocking_calls import Failure
from screens.facts import Loaded, ScreenFacts
from screens.leavable_screen import LeavableScreen
from screens.moments import ago
from screens.routes import Followed
from screens.widgets.changed_lines import ChangedLines
from screens.widgets.cursor_view import CursorFollower
from screens.widgets.header import Header
from screens.widgets.key_hints import KeyHints
from screens.widgets.line_list import LineList
from screens.widgets.notice import HintLine, NoticeBar
from screens.widgets.panes import Panes
from screens.worker_calls import ask


class Refreshing:
    """The rhythm of one screen, as set, else its own; and whether it's paused."""

    def __init__(self, facts: ScreenFacts, name: str, own: float) -> None:
        self.paused = False
        self._facts = facts
        self._seconds = facts.intervals.get(name, own)

    @property
    def words(self) -> str:
        if self.paused:
            return "paused"
        return f"↻{self._seconds:g}s" if self._seconds else "↻off"

    def due(self, at: datetime | None, took: float) -> bool:
        """True if what was learnt at that time, in `took` seconds, is old enough to be asked for anew.

        Asking takes at most a twentieth of the time, whatever the interval: the database is production's.
        """
        if self.paused or not self._seconds or at is None:
            return False
        return (self._facts.clock() - at).total_seconds() >= max(self._seconds, took * 20)

    def pause(self) -> bool:
        self.paused = not self.paused
        return self.paused


Answer = TypeVar("Answer")


class MainScreen(Actor, CursorFollower, LeavableScreen[None], Screen[None]):
    """Header, body, key hints. Subclasses give the body, show the facts, and say how to ask anew."""

    AUTO_FOCUS = "CursorView"
    NAME: ClassVar[str]
    """The screen's mode or, for one opened from a line, its name in settings and saved state."""
    TEXT: ClassVar[type[LineList]] = LineList
    """The page, where the body is one."""
    EVERY: ClassVar[float] = 30.0
    """Seconds between refreshes by default."""
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide"), (180, "-vast")]  # noqa: RUF012 - declared so by Screen
    VERTICAL_BREAKPOINTS = [(0, "-short"), (32, "-tall")]  # noqa: RUF012 - declared so by Screen

    def __init__(self, facts: ScreenFacts) -> None:
        super().__init__()
        self._compositor = ChangedLines()
        self.facts = facts
        self._state: tuple[object, ...] | None = None
        self._ticks: Timer | None = None
        self._behind = False
        """True if facts have changed since it was painted."""
        self.refreshing = Refreshing(facts, self.NAME, self.EVERY)

    def body(self) -> Iterable[Widget]:
        """The widgets between the header and the key hints: trouble, the text, a word on the line chosen."""
        yield NoticeBar()
        yield self.TEXT()
        yield HintLine()

    def show_facts(self) -> None:
        raise NotImplementedError

    def ask_anew(self) -> None:
        raise NotImplementedError

    @property
    def freshness(self) -> tuple[datetime | None, bool]:
        """When what is shown was learnt, and whether it's being asked for."""
        raise NotImplementedError

    @property
    def tried(self) -> datetime | None:
        """When it last failed to load; None once it has loaded."""
        return None

    @property
    def took(self) -> float:
        return 0.0

    @property
    def crumb(self) -> tuple[str, str]:
        """The screen's name, and what of it is shown, "" for all."""
        return self.NAME.capitalize(), ""

    def possible(self, action: Action) -> bool | None:
        """False where the service that the action calls isn't there."""
        service = action.calls.partition(".")[0]
        if service and self.facts.services.named(service) is None:
            return False
        return super().possible(action)

    def say_trouble(self, fact: Loaded[Any]) -> None:
        """Show on the screen's notice what trouble a fact has, and of when is what is shown all the same."""
        context = ""
        if fact.trouble is not None and fact.at is not None:
            context = f"Showing data from {ago(fact.at, self.facts.clock())}."
        self.query_one(NoticeBar).tell(fact.trouble, context)

    def say_outcome(self, answer: Answer | Failure, words: Callable[[Answer], str]) -> None:
        if isinstance(answer, Failure):
            self.say(str(answer), trouble=True)
        else:
            self.say(words(answer))

    def change(self, make: Callable[[], Answer], words: Callable[[Answer], str]) -> None:
        """Make a change in a worker, say what came of it, and ask anew for what is shown."""

        def made(answer: Answer | Failure) -> None:
            self.say_outcome(answer, words)
            self.ask_anew()

        ask(self, lambda _: make(), made, group="change")

    def cursor_moved(self) -> None:
        line = self.query_one(LineList).current
        for hint in self.query(HintLine):
            hint.say(line.hint if line is not None else "")
        self.refresh_hints(line is not None, *self.hints_depend_on())

    def hints_depend_on(self) -> tuple[object, ...]:
        """Return what else the actions depend on that can be done with the line under the cursor."""
        return ()

    @property
    def target_in_hand(self) -> object:
        """What the line under the cursor leads to, None where there is no such line."""
        line = self.query_one(LineList).current if self.is_mounted and self.query(LineList) else None
        return line.target if line is not None else None

    def back(self) -> bool:
        """Go one step back within the screen; returns False where there is none."""
        return False

    def compose(self) -> ComposeResult:
        yield Header(self.facts)
        yield from self.body()
        yield KeyHints()

    def on_mount(self) -> None:
        self.facts.subscribe(self, lambda _: self._facts_changed())
        self._ticks = self.set_interval(1.0, self._tick)
        self.show_facts()

    def on_screen_resume(self) -> None:
        """Show the way that led here, and ask anew for what has become old meanwhile."""
        if self.is_mounted and self.query(Header):
            for panes in self.query(Panes):
                panes.follow_choice()
            self._catch_up()
            self.show_path()
            if self._ticks is not None:
                self._ticks.resume()
            self._tick()

    @on(Followed)
    def _say_whence(self, event: Followed) -> None:
        event.origin = self

    def show_path(self, note: Content | None = None) -> None:
        """Show the way that led here, and on its right what a list covers."""
        screens = [screen for screen in self.app.screen_stack if isinstance(screen, MainScreen)]
        if self not in screens:
            return
        path = [screen.crumb for screen in screens[: screens.index(self) + 1]]
        at, asking = self.freshness
        self.query_one(Header).say(path, note, at, asking=asking, rhythm=self.refreshing.words)

    def refresh_hints(self, *state: object) -> None:
        """Refresh the available actions if what they depend on has changed."""
        state = (*state, self.facts.read_only)
        if state != self._state:
            self._state = state
            self.refresh_bindings()

    def _facts_changed(self) -> None:
        """Paint what can be seen, maybe behind a dialog; the rest is painted when it is seen again."""
        if self.is_mounted and self.query(Header):
            seen = self.is_current or self.app.screen.is_modal
            if seen and not self._behind:
                # Once for all changes until then.
                self.call_next(self._catch_up)
            self._behind = True

    def _catch_up(self) -> None:
        if self._behind and self.is_mounted:
            self._behind = False
            self.show_facts()

    def _tick(self) -> None:
        """Let ages grow, and ask anew for what has become old; what nobody sees waits until it is seen."""
        if not self.is_current:
            if self._ticks is not None:
                self._ticks.pause()
            return
        self.query_one(Header).show_age()
        at, asking = self.freshness
        if at is not None and self.tried is not None:
            at = max(at, self.tried)
        if not asking and self.refreshing.due(at, self.took):
            self.ask_anew()

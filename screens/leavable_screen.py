"""A screen that may be left at any moment: before it is there, twice, or while another one lies on it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Generic, TypeVar

from textual.await_complete import AwaitComplete
from textual.events import Callback, Event, Timer, Unmount
from textual.message import Message
from textual.messages import InvokeLater

if TYPE_CHECKING:
    from textual.geometry import Offset
    from textual.screen import Screen as Base
    from textual.widget import Widget
else:
    Base = Generic

Result = TypeVar("Result")

_CALLING_BACK = (Callback, InvokeLater, Timer)
"""Messages whose handlers, Textual's, call ours."""


class LeavableScreen(Base[Result]):
    """Mixed into screens. One that has been left hears only that it is removed."""

    _answer: tuple[Result | None] | None = None
    """What it was dismissed with while another screen lay on it."""

    def premature(self, event: Event) -> bool:
        """Return True for an input from before the screen could be seen that must do nothing there."""
        return False

    def dismiss(self, result: Result | None = None) -> AwaitComplete:
        """Leave the screen, below another one as soon as that is gone. One that is gone stays gone."""
        if self.app.screen is self:
            return super().dismiss(result)
        self._answer = (result,)
        return AwaitComplete()

    def on_screen_resume(self) -> None:
        if self._answer is not None:
            self.dismiss(*self._answer)

    def on_screen_suspend(self) -> None:
        """Scroll no further for a selection: another screen hears the button being released."""
        self._selecting = False
        self._stop_auto_scroll()

    def get_widget_and_offset_at(self, x: int, y: int) -> tuple[Widget | None, Offset | None]:
        """Return what text could be selected at a place: nothing of a widget that was just removed."""
        found, offset = super().get_widget_and_offset_at(x, y)
        gone = found is not None and found.parent is None
        return (None, None) if gone else (found, offset)

    def _get_dispatch_methods(
        self, method_name: str, message: Message
    ) -> Iterable[tuple[type, Callable[[Message], Awaitable[None]]]]:
        """Yield a message's handlers: of a screen that was left only Textual's, which take it apart."""
        for cls, method in super()._get_dispatch_methods(method_name, message):
            textuals = cls.__module__.startswith("textual.") and not isinstance(message, _CALLING_BACK)
            if textuals or isinstance(message, Unmount) or not (self._pruning or self._closing):
                yield cls, method

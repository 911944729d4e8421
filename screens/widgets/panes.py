"""A list and the detail of its line under the cursor: one below the other, side by side, or one alone."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from textual.containers import Container
from textual.events import Resize
from textual.widget import Widget

from screens.facts import ScreenFacts

WIDE, ROOMY = 120, 180
"""Cells from which on both fit side by side, and from which on they stand so by default."""
_BESIDE = 40
"""The detail's part of the width, in per cent."""


class Arrangement(StrEnum):
    BELOW = "below"
    BESIDE = "beside"
    ALONE = "alone"

    @property
    def words(self) -> str:
        return "list alone" if self is Arrangement.ALONE else f"detail {self.value}"


class Panes(Container):
    """Two widgets. What the operator chose last counts on every screen, as far as its width allows."""

    DEFAULT_CSS = """
    Panes {
        height: 1fr; layout: vertical;
        &.-beside {
            layout: horizontal;
            & > * { width: 1fr; height: 100% !important; }
            & > .detail { border-left: solid $accent 40%; }
        }
        &.-alone > .detail { display: none; }
    }
    """

    def __init__(
        self,
        facts: ScreenFacts,
        main: Widget,
        detail: Widget,
        *,
        arranged: Callable[[], None],
        narrow: Arrangement,
    ) -> None:
        """`narrow` is how they stand by default where it is not wide; `arranged` is called after a change."""
        super().__init__(main, detail)
        self._facts = facts
        self._detail = detail
        detail.add_class("detail")
        self._arranged, self._narrow = arranged, narrow
        self._shown: tuple[Arrangement, int] | None = None

    @property
    def arrangement(self) -> Arrangement:
        width = self.screen.size.width
        chosen = next((one for one in Arrangement if one == self._facts.memory.arrangement), None)
        if chosen is None:
            return Arrangement.BESIDE if width >= ROOMY else self._narrow
        if chosen is Arrangement.BESIDE and width < WIDE:
            return Arrangement.BELOW
        return chosen

    @property
    def detail_cells(self) -> int:
        width = self.screen.size.width
        inside = self._beside(width) - 3 if self.arrangement is Arrangement.BESIDE else width - 2
        return max(inside, 10)

    def _beside(self, width: int) -> int:
        return width * _BESIDE // 100

    def next(self) -> Arrangement:
        order = [
            one for one in Arrangement if one is not Arrangement.BESIDE or self.screen.size.width >= WIDE
        ]
        return order[(order.index(self.arrangement) + 1) % len(order)]

    def on_mount(self) -> None:
        self.follow_choice()

    def on_resize(self, event: Resize) -> None:
        """The terminal may have become wide enough, or too narrow."""
        self.follow_choice()

    def follow_choice(self) -> None:
        """Stand as chosen, if that isn't so yet."""
        now = (self.arrangement, self.screen.size.width)
        if now == self._shown:
            return
        self._shown = now
        for one in Arrangement:
            self.set_class(one is now[0], f"-{one}")
        if now[0] is Arrangement.BESIDE:
            self._detail.styles.width = self._beside(now[1])
        else:
            self._detail.styles.clear_rule("width")
        self.call_after_refresh(self._arranged)

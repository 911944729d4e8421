"""Events over time as bars of blocks: how many, which of them failed, where the cursor is."""

from __future__ import annotations

from datetime import datetime, timedelta

from textual.app import RenderResult
from textual.content import Content
from textual.widget import Widget

from crypto_core.trail.store.counts import Histogram
from screens.facts import ScreenFacts
from screens.moments import end_of_axis, moment, seconds, span

_BLOCKS = " ▁▂▃▄▅▆▇█"
CURSOR = "◆"
FAILED = "✖"


class HistogramView(Widget):
    """The bars, below them a line with a sign where calls failed and one where the cursor is, then the ends.

    A bar with failed calls has their share in red, and says so without colour by the sign below it.
    """

    DEFAULT_CSS = """
    HistogramView { height: 3; padding: 0 1; }
    """

    def __init__(self, facts: ScreenFacts) -> None:
        super().__init__()
        self._facts = facts
        self._histogram: Histogram | None = None
        self._words = ""
        self._at: datetime | None = None

    @property
    def histogram(self) -> Histogram | None:
        return self._histogram

    @property
    def bars(self) -> int:
        return max(self.size.width - 2, 10)

    def tell(self, histogram: Histogram | None, words: str = "") -> None:
        if (histogram, words) != (self._histogram, self._words):
            self._histogram, self._words = histogram, words
            self.refresh()

    def mark(self, at: datetime | None) -> None:
        before = self._place(self._at)
        self._at = at
        if self._place(at) != before:
            self.refresh()

    def _place(self, at: datetime | None) -> int | None:
        found = self._histogram
        if found is None or at is None:
            return None
        place = (seconds(at) - found.first) // found.seconds
        return place if 0 <= place < slots(found) else None

    def render(self) -> RenderResult:
        width, height = self.content_size.width, self.content_size.height
        if self._histogram is None or width < 10:
            return Content.assemble((self._words, "$muted"))
        lines = bar_lines(self._histogram, self._place(self._at), width, max(height - 2, 1))
        return Content("\n").join([*lines, ends(self._histogram, self._facts.clock(), width)])


def slots(histogram: Histogram) -> int:
    """Return how many bars there are, those without events too."""
    return (histogram.last - histogram.first) // histogram.seconds + 1


def bar_lines(histogram: Histogram, cursor: int | None, width: int, height: int) -> list[Content]:
    """Return so many lines of bars, and the line of signs below them."""
    count = slots(histogram)
    cells = max(width // count, 1)
    totals, failures = [0] * count, [0] * count
    for bar in histogram.bars:
        place = (bar.at - histogram.first) // histogram.seconds
        if 0 <= place < count:
            totals[place] += bar.events
            failures[place] += bar.failed
    peak = max(totals, default=0) or 1
    levels = [_level(total, peak, height) for total in totals]
    red = [min(_level(failed, peak, height), level) for failed, level in zip(failures, levels, strict=True)]
    lines = []
    for row in range(height - 1, -1, -1):
        parts = []
        for level, low in zip(levels, red, strict=True):
            block = _BLOCKS[min(max(level - row * 8, 0), 8)]
            parts.append((block * cells, "$error" if low > row * 8 else "$accent"))
        lines.append(Content.assemble(*parts))
    signs = []
    for place, failed in enumerate(failures):
        sign, style = (FAILED, "$error") if failed else ("─", "$muted")
        if place == cursor:
            sign, style = (FAILED, "$error reverse") if failed else (CURSOR, "$accent")
        signs.append((sign + "─" * (cells - 1) if cells > 1 else sign, style))
    return [*lines, Content.assemble(*signs)]


def _level(events: int, peak: int, height: int) -> int:
    """Eighths of a line, at least one where there is anything."""
    return max(round(events / peak * height * 8), 1) if events else 0


def ends(histogram: Histogram, now: datetime, width: int) -> Content:
    """Return the line that says from when to when, and how high the highest bar is."""
    first = end_of_axis(moment(histogram.first), now)
    last = end_of_axis(moment(histogram.first + slots(histogram) * histogram.seconds), now)
    peak = max((bar.events for bar in histogram.bars), default=0)
    failed = sum(bar.failed for bar in histogram.bars)
    middle = f"peak {peak:,} in {span(timedelta(seconds=histogram.seconds))}"
    more = f"  {FAILED} {failed:,} failed" if failed else ""
    used = max(width // slots(histogram), 1) * slots(histogram)
    left = used - len(first) - len(last) - len(middle) - len(more)
    if left < 2:
        return Content.assemble((f"{first}–{last} {middle}", "$muted"), (more, "$error"))
    before = left // 2
    return Content.assemble(
        (first + " " * before + middle, "$muted"), (more, "$error"), (" " * (left - before) + last, "$muted")
    )

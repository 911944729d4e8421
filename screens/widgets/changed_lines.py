"""Paints the lines of a screen that changed, and asks no widget for others.

Between the first and the last line that changed, Textual has every widget give all of its lines, those too
behind others, and throws away what is as it was or can't be seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from textual._compositor import Compositor
from textual.geometry import Region
from textual.strip import Strip


class ChangedLines(Compositor):
    _changed: frozenset[int] = frozenset()

    def _render_chops(
        self, crop: Region, is_rendered_line: Callable[[int], bool]
    ) -> Sequence[Mapping[int, Strip]]:
        self._changed = frozenset(filter(is_rendered_line, crop.line_range))
        return super()._render_chops(crop, is_rendered_line)

    def _get_renders(self, crop: Region | None = None) -> Iterable[tuple[Region, Region, list[Strip]]]:
        """Yield what is seen of the widgets, the foremost first, until all lines are full."""
        left = set(self._changed)
        for widget, (region, clip) in self.visible_widgets.items():
            seen = region.intersection(clip)
            here = [y for y in seen.line_range if y in left] if seen else []
            for lines in runs(here):
                part = Region(seen.x, lines.start, seen.width, len(lines))
                yield part, part, widget.render_lines(part.translate(-region.offset))
            if seen.x <= 0 and seen.right >= self.size.width:
                left.difference_update(here)
                if not left:
                    return


def runs(numbers: Sequence[int]) -> Iterable[range]:
    """Yield numbers, which ascend, as the ranges that they make up."""
    start = 0
    for at, number in enumerate(numbers, 1):
        if at == len(numbers) or numbers[at] != number + 1:
            yield range(numbers[start], number + 1)
            start = at

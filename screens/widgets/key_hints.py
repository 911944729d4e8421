"""The bottom of every screen: the keys that act here, greyed where they don't."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from textual.app import RenderResult
from textual.binding import ActiveBinding
from textual.content import Content
from textual.screen import Screen
from textual.style import Style
from textual.widget import Widget

from screens.actions.performing import Host
from screens.actions.registry import BY_ID

_GAP = "  "


class KeyHints(Widget):
    """The actions that want to be shown, on one line or two; read only, none that changes anything."""

    DEFAULT_CSS = """
    KeyHints { dock: bottom; height: auto; max-height: 2; background: $header; padding: 0 1; }
    """

    _painted = Content("")
    """The last rendering: maybe only to learn its height, not yet on screen."""
    _told = ""
    """The last hints that were to be painted."""

    def on_mount(self) -> None:
        """Follow the screen's bindings."""
        self.screen.bindings_updated_signal.subscribe(self, self._changed)

    def _changed(self, screen: Screen[object]) -> None:
        if screen is not self.screen:
            return
        hints = self._hints().markup
        if not hints == self._told == self._painted.markup:
            self._told = hints
            self.refresh(layout=True)

    def render(self) -> RenderResult:
        """The keys and what they do; a click on one presses it."""
        self._painted = self._hints()
        return self._painted

    def _hints(self) -> Content:
        width = (self.parent.size.width if isinstance(self.parent, Widget) else self.size.width) - 2
        return Content("\n").join(self._lines(width))

    def _lines(self, width: int) -> list[Content]:
        here, everywhere = self._shown()
        together = _flow([*here, *everywhere], width)
        if len(together) > 1 and len(_flow(here, width)) == 1:
            return [*_flow(here, width), *_flow(everywhere, width)][:2]
        return together[:2]

    def _shown(self) -> tuple[list[Content], list[Content]]:
        """The hints of this screen, and those that the whole app has."""
        read_only = cast(Host, self.app).read_only
        seen: dict[str, ActiveBinding] = {}
        for active in self.screen.active_bindings.values():
            action = BY_ID.get(active.binding.id or "")
            if active.binding.show and not (read_only and action is not None and action.changes):
                seen.setdefault(active.binding.action, active)
        here = [self._hint(a) for a in seen.values() if a.node is not self.app]
        return here, [self._hint(a) for a in seen.values() if a.node is self.app]

    def _hint(self, active: ActiveBinding) -> Content:
        key = self.app.get_key_display(active.binding)
        words = f" {active.binding.description}"
        if not active.enabled:
            return Content.assemble((key + words, "$disabled"))
        press = Style.from_meta({"@click": f"app.simulate_key({active.binding.key!r})"})
        return Content.assemble((key, "bold $accent"), words).stylize(press)


def _flow(hints: Sequence[Content], width: int) -> list[Content]:
    lines: list[list[Content]] = [[]]
    used = 0
    for hint in hints:
        if used and used + len(_GAP) + hint.cell_length > width:
            lines.append([])
            used = 0
        used += hint.cell_length + (len(_GAP) if used else 0)
        lines[-1].append(hint)
    return [Content(_GAP).join(line) for line in lines]

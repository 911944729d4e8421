"""The bottom of every screen: the keys that act here, greyed where they don't."""

from __future__ import annotations

from rich.cells import cell_len
from textual.app import RenderResult
from textual.binding import ActiveBinding
from textual.content import Content
from textual.geometry import Size
from textual.screen import Screen
from textual.style import Style
from textual.widget import Widget

_GAP = "  "


class KeyHints(Widget):
    """The screen's bindings that want to be shown, on one line or two. Made from the bindings themselves."""

    DEFAULT_CSS = """
    KeyHints { dock: bottom; height: auto; max-height: 2; background: $header; padding: 0 1; }
    """

    def on_mount(self) -> None:
        """Follow the screen's bindings."""
        self.screen.bindings_updated_signal.subscribe(self, self._changed)

    def _changed(self, screen: Screen[object]) -> None:
        if screen is self.screen:
            self.refresh(layout=True)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """One line, or two where the keys need them."""
        return len(self._lines(width))

    def render(self) -> RenderResult:
        """The keys and what they do; a click on one presses it."""
        return Content("\n").join(self._lines(self.content_size.width))

    def _lines(self, width: int) -> list[Content]:
        lines: list[list[Content]] = [[]]
        used = 0
        for hint, length in map(self._hint, self._shown()):
            if used and used + len(_GAP) + length > width:
                if len(lines) == 2:
                    break
                lines.append([])
                used = 0
            lines[-1].append(hint)
            used += length + (len(_GAP) if used else 0)
        return [Content(_GAP).join(line) for line in lines]

    def _shown(self) -> list[ActiveBinding]:
        seen: dict[str, ActiveBinding] = {}
        for active in self.screen.active_bindings.values():
            if active.binding.show:
                seen.setdefault(active.binding.action, active)
        return list(seen.values())

    def _hint(self, active: ActiveBinding) -> tuple[Content, int]:
        key = self.app.get_key_display(active.binding)
        words = f" {active.binding.description}"
        press = Style.from_meta({"@click": f"app.simulate_key({active.binding.key!r})"})
        colours = ("bold $accent", "") if active.enabled else ("$disabled", "$disabled")
        content = Content.assemble((key, colours[0]), (words, colours[1]))
        if active.enabled:
            content = content.stylize(press)
        return content, cell_len(key + words)

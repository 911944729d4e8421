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

from screens.actions.performer import Host
from screens.actions.registry import BY_ID

_GAP = "  "
_NARROW_GAP = " "
_ALWAYS = frozenset({"everywhere.help", "everywhere.command", "everywhere.quit"})
"""Whoever knows no key finds all others by these."""


class KeyHints(Widget):
    """The actions that want to be shown, on one line or two; read only, none that changes anything."""

    DEFAULT_CSS = """
    KeyHints { dock: bottom; height: auto; max-height: 2; background: $header; padding: 0 1; }
    """

    _shown = Content("")

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, self._changed)
        self.call_after_refresh(self._show)

    def on_resize(self) -> None:
        self._show()

    def _changed(self, screen: Screen[object]) -> None:
        if screen is self.screen:
            self._show()

    def _show(self) -> None:
        """Paint the hints, if others are painted."""
        width = (self.parent.size.width if isinstance(self.parent, Widget) else self.size.width) - 2
        hints = Content("\n").join(self._lines(width))
        if hints.markup != self._shown.markup:
            self._shown = hints
            self.refresh(layout=True)

    def render(self) -> RenderResult:
        return self._shown

    def _lines(self, width: int) -> list[Content]:
        """One line where all fits, else two: this screen's, then the rest, which ends with what always stays.

        Where it's too narrow, what always stays loses its words, then the places do, the last one first, and
        then they give way.
        """
        here, everywhere, always = self._offered()
        words, keys = [self._hint(a) for a in always], [self._hint(a, words=False) for a in always]
        places = [self._hint(a) for a in everywhere]
        if _cells([*here, *places, *words]) <= width:
            return [_joined([*here, *places, *words])]
        fitting = next((n for n in range(len(here), 0, -1) if _cells(here[:n]) <= width), 0)
        first, left = here[:fitting], here[fitting:]
        wordless = [self._hint(a, words=False) for a in everywhere]
        tries = [(places, words, _GAP), (places, keys, _GAP)]
        named = range(len(places), -1, -1)
        tries += [([*places[:n], *wordless[n:]], keys, _NARROW_GAP) for n in named]
        for some, end, gap in tries:
            rest = [*left, *some]
            if _cells([*rest, *end], gap) <= width:
                break
        while rest and _cells([*rest, *end], gap) > width:
            rest.pop()
        return [*([_joined(first)] if first else []), _joined([*rest, *end], gap)]

    def _offered(self) -> tuple[list[Content], list[ActiveBinding], list[ActiveBinding]]:
        """The hints of this screen, those that the whole app has, and what of these always stays."""
        read_only = cast(Host, self.app).read_only
        seen: dict[str, ActiveBinding] = {}
        for active in self.screen.active_bindings.values():
            action = BY_ID.get(active.binding.id or "")
            if active.binding.show and not (read_only and action is not None and action.changes):
                seen.setdefault(active.binding.action, active)
        here = [self._hint(a) for a in seen.values() if a.node is not self.app]
        everywhere = [a for a in seen.values() if a.node is self.app]
        always = [a for a in everywhere if a.binding.id in _ALWAYS]
        return here, [a for a in everywhere if a not in always], always

    def _hint(self, active: ActiveBinding, *, words: bool = True) -> Content:
        key = self.app.get_key_display(active.binding)
        title = f" {active.binding.description}" if words else ""
        if not active.enabled:
            return Content.assemble((key + title, "$disabled"))
        press = Style.from_meta({"@click": f"app.simulate_key({active.binding.key!r})"})
        return Content.assemble((key, "bold $accent"), title).stylize(press)


def _joined(hints: Sequence[Content], gap: str = _GAP) -> Content:
    return Content(gap).join(hints)


def _cells(hints: Sequence[Content], gap: str = _GAP) -> int:
    return sum(hint.cell_length for hint in hints) + len(gap) * max(len(hints) - 1, 0)

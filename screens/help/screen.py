"""Help: what can be done here and now, made from the bindings that are active."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import ActiveBinding, Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from screens.widgets.cells import fit
from screens.widgets.dialog import Dialog

_KEYS = 12
_MOVING = ("step", "page", "edge")

_SIGNS = (
    ("✖ critical", "$error", "unprotected, or about to be lost"),
    ("▲ high, medium", "$warning", "needs a look: conflict, unknown, disabled"),
    ("● none", "$success", "protected, key enabled"),
    ("○ low", "$muted", "empty, or not seen"),
)


class Help(Dialog[None]):
    """The keys of the screen that it was opened from, and what the signs mean."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark", "leave", "Back", show=False, tooltip="Close the help"),
    ]

    def __init__(self, title: str, bindings: Iterable[ActiveBinding], read_only: bool) -> None:
        super().__init__()
        self._title = title
        self._active = tuple(bindings)
        self._read_only = read_only

    def compose(self) -> ComposeResult:
        """One line for each thing that can be done."""
        with Vertical(classes="frame") as frame:
            frame.border_title = Content(f"{self._title}: what can be done here")
            frame.border_subtitle = Content("Esc closes")
            with VerticalScroll(classes="body"):
                yield Static(Content("\n").join(self._lines()))

    def _lines(self) -> list[Content]:
        by_action: dict[tuple[object, str], list[ActiveBinding]] = {}
        for active in self._active:
            if active.binding.tooltip and not active.binding.system:
                by_action.setdefault((active.node, active.binding.action), []).append(active)
        groups: dict[str, list[list[ActiveBinding]]] = {"here": [], "everywhere": [], "moving": []}
        for bindings in by_action.values():
            first = bindings[0]
            if first.binding.action.startswith(_MOVING):
                groups["moving"].append(bindings)
            else:
                groups["everywhere" if first.node is self.app else "here"].append(bindings)
        lines: list[Content] = []
        for title, group in groups.items():
            if group:
                lines += [Content.assemble((title, "$muted")), *map(self._line, group), Content("")]
        lines.append(Content.assemble(("signs", "$muted")))
        lines += [Content.assemble(("  " + fit(word, 18), style), text) for word, style, text in _SIGNS]
        return lines

    def _line(self, bindings: list[ActiveBinding]) -> Content:
        keys = " ".join(dict.fromkeys(self.app.get_key_display(b.binding) for b in bindings))
        first = bindings[0]
        words = first.binding.tooltip
        if first.enabled:
            return Content.assemble(("  " + fit(keys, _KEYS), "bold $accent"), words)
        why = " (read-only)" if self._read_only and first.binding.action.startswith("write") else " (not now)"
        return Content.assemble(("  " + fit(keys, _KEYS), "$disabled"), (words + why, "$disabled"))

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
        shown = [a for a in by_action.values() if a[0].binding.show]
        hidden = [a for a in by_action.values() if not a[0].binding.show]
        lines = [self._line(bindings) for bindings in (*shown, *hidden)]
        lines += [Content("")]
        lines += [Content.assemble((fit(word, 16), style), text) for word, style, text in _SIGNS]
        return lines

    def _line(self, bindings: list[ActiveBinding]) -> Content:
        keys = " ".join(dict.fromkeys(self.app.get_key_display(b.binding) for b in bindings))
        first = bindings[0]
        words = first.binding.tooltip
        if first.enabled:
            return Content.assemble((fit(keys, 16), "bold $accent"), words)
        why = " (read-only)" if self._read_only and first.binding.action.startswith("write") else " (not now)"
        return Content.assemble((fit(keys, 16), "$disabled"), (words + why, "$disabled"))

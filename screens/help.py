"""Help: what can be done here and now, made from the actions that are in reach."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from textwrap import wrap
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from screens.actions.action import Action
from screens.widgets.cells import fit
from screens.widgets.dialog import Dialog, framed

_KEYS = 12
_COMMAND = 14
"""Cells of the commands, more where a longer one is among them."""

_SIGNS = (
    ("✖ critical", "$error", "unprotected, or at risk of being lost"),
    ("▲ high, medium", "$warning", "needs a look: conflict, unknown, disabled"),
    ("● none", "$success", "protected, key enabled"),
    ("○ low", "$muted", "empty, or not readable"),
)
_GROUPS = {"table": "in the table", "list": "moving", "everywhere": "everywhere"}


@dataclass(frozen=True, slots=True)
class Doable:
    """An action, the keys that lead to it, and why it can't be done now, "" if it can."""

    action: Action
    keys: tuple[str, ...]
    why_not: str = ""


class Help(Dialog[bool | None]):
    """The actions of the screen that it was opened from, and what the signs mean.

    Returns True if the operator wants to read on in the manual.
    """

    AUTO_FOCUS = ".body"  # arrows scroll it
    BODY = 0
    DEFAULT_CSS = "Help > .frame { width: 96; & > .body { max-height: 100%; } }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark", "leave", "Back", show=False, tooltip="Close the help"),
        Binding("m,f2", "manual", "Manual", show=False, tooltip="Read on in the manual"),
    ]

    def __init__(self, title: str, doables: Iterable[Doable]) -> None:
        super().__init__()
        self._title = title
        self._doables = tuple(doables)

    def compose(self) -> ComposeResult:
        frame = framed(f"{self._title}: what can be done here", "m the manual   Esc closes")
        with frame, VerticalScroll(classes="body"):
            yield Static(id="actions")

    def action_manual(self) -> None:
        self.dismiss(True)

    def on_resize(self) -> None:
        width = max(min(self.size.width * 94 // 100, 96) - 10, 40)
        self.query_one("#actions", Static).update(Content("\n").join(self._lines(width)))

    def _lines(self, width: int) -> list[Content]:
        groups: dict[str, list[Doable]] = {title: [] for title in ("here", *_GROUPS.values())}
        for doable in self._doables:
            groups[_GROUPS.get(doable.action.scope, "here")].append(doable)
        command = max(_COMMAND, *(len(doable.action.name) + 1 for doable in self._doables))
        lines: list[Content] = []
        for title, group in groups.items():
            if group:
                lines += [
                    Content.assemble((title, "$muted")),
                    *(line for doable in group for line in _told(doable, width, command)),
                    Content(""),
                ]
        lines.append(Content.assemble(("signs", "$muted")))
        lines += [Content.assemble(("  " + fit(word, 18), style), text) for word, style, text in _SIGNS]
        return lines


def _told(doable: Doable, width: int, cells: int) -> list[Content]:
    action = doable.action
    words = action.explanation + (f" ({doable.why_not})" if doable.why_not else "")
    first, *more = wrap(words, max(width - _KEYS - cells - 3, 20), break_on_hyphens=False)
    keys = "  " + fit(" ".join(doable.keys) or "-", _KEYS)
    command = fit(f":{action.name}", cells) + " "
    styles = ("$disabled",) * 3 if doable.why_not else ("bold $accent", "$muted", "")
    lines = [Content.assemble((keys, styles[0]), (command, styles[1]), (first, styles[2]))]
    indent = " " * (2 + _KEYS + cells + 1)
    return [*lines, *(Content.assemble((indent + line, styles[2])) for line in more)]

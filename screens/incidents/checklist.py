"""Several of some choices, such as principals: space chooses one or takes it back, Enter goes on."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType

from crypto_core.incidents.steps.step_contracts import InputField
from screens.widgets.cells import fit
from screens.widgets.line_list import Line, LineList, line

_MOST_LINES = 8


class Checklist(LineList):
    """The choices of a field, those of its default chosen. Suspects are red, and marked as such."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "choose", "Choose", tooltip="Choose what is under the cursor, or take it back"),
    ]

    def __init__(self, field: InputField, *, id: str) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self._field = field
        given = listed(field.default)
        values = [value for value, _ in field.choices]
        self._chosen = {value for value in values if value in given}
        self.others = ", ".join(value for value in given if value not in values)
        """What the default names besides."""

    def on_mount(self) -> None:
        """As high as there are choices; the cursor is on the first that is chosen."""
        self.styles.height = min(len(self._field.choices), _MOST_LINES)
        self._paint()
        chosen = (n for n, (value, _) in enumerate(self._field.choices) if value in self._chosen)
        self.move_to(next(chosen, 0))

    @property
    def chosen(self) -> tuple[str, ...]:
        """The chosen values, in the order of the choices."""
        return tuple(value for value, _ in self._field.choices if value in self._chosen)

    def action_choose(self) -> None:
        """Choose what is under the cursor, or take it back."""
        if self.current is not None and isinstance(self.current.target, str):
            self._chosen ^= {self.current.target}
            self._paint()

    def _paint(self) -> None:
        self.write(
            lambda size: [self._line(value, words, size.width) for value, words in self._field.choices]
        )

    def _line(self, value: str, words: str, width: int) -> Line:
        box = "[x]" if value in self._chosen else "[ ]"
        suspect = value in self._field.suspects
        mark = "▲ " if suspect else "  "
        style = "$error" if suspect else "bold" if value in self._chosen else ""
        return line(f" {box} ", (f"{mark}{fit(words or value, max(width - 7, 8))}", style), target=value)


def listed(text: str) -> tuple[str, ...]:
    """Return the values of a list with commas between."""
    return tuple(part for one in text.split(",") if (part := one.strip()))

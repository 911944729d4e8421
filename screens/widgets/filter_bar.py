"""The filter line: completion, history, what is wrong with the expression, and a table's saved filters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.geometry import Size
from textual.message import Message
from textual.suggester import Suggester
from textual.widgets import Input, Static

from crypto_core.lists.filter_language import Field, ValueKind
from crypto_core.values.clean_text import clean
from screens.blocking_calls import Failure
from screens.memory import Memory
from screens.routes import Followed
from screens.widgets.cells import cut, fit
from screens.widgets.dialog import Dialog, buttons, framed
from screens.widgets.line_input import InputHistory, LineInput
from screens.widgets.line_list import Line, LineList

SAVED = "@"
"""What the name of a saved filter begins with."""


_BEHIND = dict.fromkeys(ValueKind, ":") | {ValueKind.FLAG: "", ValueKind.KEYED: "."}
"""What stands behind a field's name."""
_LISTED = (ValueKind.TEXT, ValueKind.CYCLE)
"""Fields whose values are completed, where there are only some."""


class FilterBar(Vertical):
    """Shown while the operator edits the filter."""

    DEFAULT_CSS = """
    FilterBar {
        height: auto; display: none; padding: 0 1;
        & > Input { padding: 0; }
        & > #fault { height: auto; }
        & > #fault.-help { color: $muted; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "escape",
            "close",
            "close",
            key_display="Esc",
            tooltip="Close the filter and leave the list as it is",
        ),
        Binding("up", "recall(-1)", "earlier", show=False, tooltip="Earlier filters"),
        Binding("down", "recall(1)", "later", show=False, tooltip="Later filters"),
        Binding("tab", "complete", "complete", show=False, tooltip="Accept the suggestion"),
    ]

    @dataclass
    class Submitted(Message):
        expression: str

    class Closed(Message):
        """The operator kept the previous filter."""

    def __init__(self, fields: Mapping[str, Field], example: str) -> None:
        """`fields` are those that may be named; `example` is shown while nothing is typed."""
        super().__init__()
        self._fields = fields
        self._example = example
        self._recall = InputHistory(())
        self._saved: Mapping[str, str] = {}
        self._faulty: str | None = None
        """The expression that a fault is shown for."""

    def compose(self) -> ComposeResult:
        suggester = _FilterSuggester(self._fields, lambda: self._saved)
        yield LineInput(placeholder=self._example, suggester=suggester)
        yield Static(id="fault")

    def open(self, expression: str, history: Sequence[str], saved: Mapping[str, str]) -> None:
        self._recall = InputHistory(history)
        self._saved = saved
        self.display = True
        field = self.query_one(Input)
        field.value = expression
        field.cursor_position = len(expression)
        self.fault(None)
        # At once, not when Textual gets round to it: what is typed by then belongs here.
        self.screen.set_focus(field)

    def close(self) -> None:
        self.display = False

    @property
    def is_open(self) -> bool:
        return bool(self.display)

    def fault(self, trouble: Failure | None) -> None:
        """Say what is wrong with the expression; a caret points at the character."""
        line = self.query_one("#fault", Static)
        line.set_class(trouble is None, "-help")
        self._faulty = None if trouble is None else self.query_one(Input).value
        if trouble is None:
            line.update(self._help())
            return
        field = self.query_one(Input)
        parts: list[tuple[str, str]] = []
        if trouble.position is not None:
            before = cell_len(field.value[: trouble.position])
            column = min(max(before - int(field.scroll_offset.x), 0), max(self.size.width - 4, 0))
            parts.append((" " * column + "^\n", "bold $error"))
        parts += [("✖ ", "$error"), (f"{trouble.message} ", ""), (trouble.remedy, "bold")]
        line.update(Content.assemble(*parts))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Pass the expression on; the name of a saved filter stands for what it says."""
        event.stop()
        words = event.value.strip()
        if words.startswith(SAVED):
            known = self._saved.get(words.removeprefix(SAVED))
            if known is None:
                names = ", ".join(SAVED + name for name in self._saved) or "none"
                self.fault(Failure("There is no saved filter with this name.", f"Saved: {names}.", 0))
                return
            words = known
        self.post_message(self.Submitted(words))

    def on_input_changed(self, event: Input.Changed) -> None:
        if event.value != self._faulty:
            self.fault(None)

    def action_close(self) -> None:
        self.post_message(self.Closed())

    def action_recall(self, direction: int) -> None:
        field = self.query_one(Input)
        field.value = self._recall.step(direction, field.value)
        field.cursor_position = len(field.value)

    def action_complete(self) -> None:
        self.query_one(Input).action_cursor_right()

    def _help(self) -> Content:
        names = dict.fromkeys(field.shown for field in self._fields.values())
        return Content(
            "Enter applies, Esc closes, ↑ recalls, Tab completes. -term excludes, a,b matches either, "
            "* matches anything, OR and ( ) combine terms, /…/ is a regular expression.\n"
            f"Fields: {' '.join(names)}"
        )


class _FilterSuggester(Suggester):
    """Completes the word that is being typed: a field, a field's value, the name of a saved filter."""

    def __init__(self, fields: Mapping[str, Field], saved: object) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self._fields = fields
        self._saved = saved

    async def get_suggestion(self, value: str) -> str | None:
        """Return the whole text with its last word completed, None where there is nothing to add."""
        head, space, word = value.rpartition(" ")
        lead = head + space
        if value.startswith(SAVED) and callable(self._saved):
            return _first(self._saved(), value, SAVED)
        rest = word.lstrip("-(")
        negated, word = word[: len(word) - len(rest)], rest
        if not word:
            return None
        name, colon, typed = word.partition(":")
        if not colon:
            found = _first(self._fields, word)
            return f"{lead}{negated}{found}{_BEHIND[self._fields[found].kind]}" if found else None
        field = self._fields.get(name.lower())
        if field is None or field.kind not in _LISTED or not field.values:
            return None
        before, comma, last = typed.rpartition(",")
        found = _first(field.values, last) if last else None
        return f"{lead}{negated}{name}:{before}{comma}{found}" if found else None


def _first(names: object, typed: str, lead: str = "") -> str | None:
    every = [lead + str(name) for name in names]  # type: ignore[attr-defined]
    return next((n for n in every if n.startswith(typed) and n != typed and clean(n) == n), None)


class SavedFilters(Dialog[str | None]):
    """Returns the filter to apply, None for none."""

    DEFAULT_CSS = """
    SavedFilters LineList { height: auto; max-height: 10; }
    SavedFilters #name { margin-top: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("delete,D", "forget", "forget", tooltip="Delete the filter under the cursor"),
    ]

    def __init__(self, memory: Memory, table: str, current: str) -> None:
        super().__init__()
        self._memory = memory
        self._table = table
        self._current = current

    def compose(self) -> ComposeResult:
        with framed("Saved filters", "Enter applies, D forgets, Esc closes"):
            yield Static(id="none")
            yield LineList()
            if self._current:
                now = self._current
                yield LineInput(placeholder=f"A name to save {now} under", id="name", max_length=60)
            yield buttons(("Close", "cancel"))

    def on_mount(self) -> None:
        self._show()
        if self._memory.saved_filters(self._table):
            self.query_one(LineList).focus()

    def _show(self) -> None:
        filters = self._memory.saved_filters(self._table)
        none = self.query_one("#none", Static)
        none.display = not filters
        none.update(Content("No saved filters. Set one with /, save it here, then type @NAME after /."))
        lines = self.query_one(LineList)
        lines.display = bool(filters)
        lines.write(self._lines)

    def _lines(self, size: Size) -> Sequence[Line]:
        room = max(size.width - 24, 10)
        return [
            Line(Content.assemble(" ", (fit("@" + name, 20), "bold"), "  ", cut(text, room)), name)
            for name, text in self._memory.saved_filters(self._table).items()
        ]

    @on(Followed)
    def apply(self, event: Followed) -> None:
        event.stop()
        self.dismiss(self._memory.saved_filters(self._table).get(str(event.target)))

    @on(Input.Submitted, "#name")
    def save(self, event: Input.Submitted) -> None:
        name = "-".join(event.value.strip().removeprefix("@").split())
        if name and not self._memory.save_filter(self._table, name, self._current):
            self.app.notify("This filter can't be saved.", markup=False)
            return
        event.input.clear()
        self._show()

    def action_forget(self) -> None:
        line = self.query_one(LineList).current
        if line is not None:
            self._memory.forget_filter(self._table, str(line.target))
            self._show()

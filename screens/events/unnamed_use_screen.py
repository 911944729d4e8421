"""A token that CloudTrail can't name: why not, and what can be looked at instead. Never a guess."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from textwrap import wrap

from textual.content import Content
from textual.geometry import Size
from textual.widget import Widget

from crypto_core.database.inventory import InventoryRow
from crypto_core.foreign import clean
from screens.events.narrowing import term
from screens.facts import Facts
from screens.main_screen import MainScreen
from screens.routes import EventsBehind, KeyBehind
from screens.widgets.hint_line import HintLine
from screens.widgets.line_list import Line, LineList, indented


class UnnamedUseScreen(MainScreen):
    """What no event says of a token, and the events of its key material and its key."""

    NAME = "timeline"

    def __init__(self, facts: Facts, row: InventoryRow) -> None:
        super().__init__(facts)
        self._row = row

    @property
    def crumb(self) -> tuple[str, str]:
        """The token."""
        return "Timeline", str(self._row.ref)

    @property
    def freshness(self) -> tuple[datetime | None, bool]:
        """Nothing is asked for here."""
        return None, False

    def ask_anew(self) -> None:
        """Nothing is asked for here."""

    def body(self) -> Iterable[Widget]:
        """The page, and a word on the line under the cursor."""
        yield LineList()
        yield HintLine()

    def show_facts(self) -> None:
        """Paint the page: keys may have got names."""
        self.show_path()
        self.query_one(LineList).write(self._lines)

    def cursor_moved(self) -> None:
        """Say what can be done with the line under the cursor."""
        line = self.query_one(LineList).current
        self.query_one(HintLine).say(line.hint if line is not None else "")
        self.refresh_hints(line is not None)

    def _lines(self, size: Size) -> Sequence[Line]:
        width = max(size.width - 3, 20)
        title, *reasons = reasons_of(self._row)
        lines = [Line(Content.assemble((title, "bold"))), Line(Content(""))]
        for reason in reasons:
            lines += [Line(Content(part)) for part in (*wrap(reason, width), "")]
        return indented([*lines, *unnamed_use_lines(self._row, self.facts)])


def reasons_of(row: InventoryRow) -> Sequence[str]:
    """Return what CloudTrail can't say of a token, and why."""
    stored = row.format.value
    if not row.format.protected:
        why = (
            f"It is stored as {stored}: whoever reads the row reads it without KMS, and CloudTrail sees "
            "nothing of that."
        )
        return ("No KMS call opens this token.", why)
    why = (
        f"Its envelope is {stored}, which has no encryption context: an event says which key and which key "
        "material opened something, who asked and when, but not which token. Below are the events of its "
        "key; any of them may be about this token, or about another one."
    )
    instead = "A v2 envelope names its row in the context, and its timeline is exact."
    return ("CloudTrail can't name this token.", why, instead)


def unnamed_use_lines(row: InventoryRow, facts: Facts) -> list[Line]:
    """Return the ways on: the use of the token's key material, of its key, the key itself."""
    if row.key_arn is None:
        return (
            [] if not row.format.protected else [Line(Content("Its key isn't known: i on its row asks KMS."))]
        )
    lines = []
    key = facts.key_words.long(row.key_arn)
    opened = "name:Decrypt,ReEncrypt"
    if row.key_material_id is not None:
        generation = facts.key_words.generation(row.key_arn, row.key_material_id)
        words = f"Who opened anything under material {generation} of {key}"
        expression = f"{term('material', clean(row.key_material_id, 200))} {opened}"
        lines.append(_way(words, EventsBehind(expression), "Enter: these events."))
    words = f"Who opened anything under {key}"
    expression = f"{term('key', clean(row.key_arn, 400))} {opened}"
    lines.append(_way(words, EventsBehind(expression), "Enter: these events."))
    return [*lines, _way(key, KeyBehind(row.key_arn), "Enter: the key.")]


def _way(words: str, target: object, hint: str) -> Line:
    return Line(Content.assemble((clean(words, 300), "$accent")), target, hint)

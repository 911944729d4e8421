"""What is pasted after a copy: text on one line, no character that acts, never more than is taken."""

from __future__ import annotations

from dataclasses import replace

import pytest

from screens.widgets.clipboard import MOST, rows_as_text
from tests.screens.deck import LARGE, deck
from tests.screens.many_rows import many
from tests.screens.stage import Stage


@pytest.mark.quick(2)
@pytest.mark.parametrize(
    ("stored", "pasted"),
    [
        ("a\tb\x1b]52;c;aGk=\x07", "a b]52;c;aGk="),
        ("acme\nrm -rf ~\n", "acme rm -rf ~ "),
        ("\u202eemca\u2066", "emca"),
        ("[red]x[/red]", "[red]x[/red]"),
    ],
)
async def test_a_cell_of_hostile_text_is_pasted_as_one_harmless_line(stored: str, pasted: str) -> None:
    stage = Stage(rows=[replace(many(1)[0], organisation=stored)])
    async with deck(stage, start="connections", size=LARGE) as d:
        await d.press("right", "y")
        assert d.app.clipboard == pasted
        await d.press("Y")
        assert d.app.clipboard.split("\t")[1] == pasted
        assert "\n" not in d.app.clipboard


@pytest.mark.deep
async def test_marked_rows_are_copied_in_the_order_of_their_marks_by_key_and_by_command() -> None:
    async with deck(Stage(rows=many(20)), start="connections", size=LARGE) as d:
        await d.press("down", "down", "space", "home", "space")
        await d.press("Y")
        by_key = d.app.clipboard
        assert [line.split("\t")[0][-2:] for line in by_key.split("\n")] == ["02", "00"]
        assert d.toasts()[-1] == "Sent to the clipboard: 2 tokens"
        await d.command("copy-rows")
        assert d.app.clipboard == by_key


def test_the_limit_is_one_of_bytes_whatever_the_letters_are() -> None:
    for letter in ("a", "ü", "漢", "🦊"):
        text, taken = rows_as_text([[letter * 1000]] * 200)
        assert len(text.encode()) <= MOST
        assert taken == text.count("\n") + 1
        assert len(text.encode()) > MOST - 10_000

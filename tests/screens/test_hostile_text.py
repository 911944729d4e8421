"""Text from outside is data: never markup, never control bytes, never wider than its cell."""

from __future__ import annotations

import unicodedata
from dataclasses import replace

import pytest
from rich.cells import cell_len

from crypto_core.coverage import Coverage
from crypto_core.errors import KmsError
from crypto_core.keys.status import Problem
from crypto_core.reencryption.plan import Unwritten
from crypto_core.severity import Severity
from tests.screens.deck import LARGE, SMALL, Deck, deck
from tests.screens.samples import HOSTILE, KEYS, hostile_rows
from tests.screens.stage import Stage


def assert_harmless(d: Deck, size: tuple[int, int]) -> None:
    width, height = size
    lines = d.lines()
    assert len(lines) == height
    for line in lines:
        assert cell_len(line) == width
        assert not [c for c in line if unicodedata.category(c) in ("Cc", "Cf", "Cs")]


@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_hostile_rows_are_shown_as_they_are_written(size: tuple[int, int]) -> None:
    async with deck(Stage(rows=hostile_rows()), start="connections", size=size) as d:
        for _ in HOSTILE:
            assert_harmless(d, size)
            await d.press("down")
        assert "[/red]" in d.text()
        assert "[bold]O" in d.text()


@pytest.mark.parametrize("text", HOSTILE)
async def test_hostile_text_anywhere_else_neither_crashes_nor_acts(text: str) -> None:
    stage = Stage(rows=hostile_rows())
    stage.place = replace(
        stage.place,
        identity=text,
        database=text,
        environment=text,
        database_role=text,
        region=text,
        account=text,
        database_trouble=text,
        aws_trouble=text,
    )
    stage.keys = tuple(
        replace(
            key, aliases=(f"alias/{text}",), description=text, state=text, spec=text, missing={text: text}
        )
        for key in KEYS
    )
    stage.problems = (
        Problem(Severity.CRITICAL, text, text, text, 1, filter=f"org:{text}"),
        Problem(Severity.HIGH, text, text, text, 1, key_arn=KEYS[0].key_arn),
    )
    stage.coverage = Coverage((text,))
    async with deck(stage) as d:
        assert_harmless(d, SMALL)
        await d.press("down", "enter")
        assert_harmless(d, SMALL)
        await d.press("1", "question_mark")
        assert_harmless(d, SMALL)
        await d.press("escape", "3")
        assert_harmless(d, SMALL)


@pytest.mark.parametrize("text", HOSTILE)
async def test_hostile_text_in_plans_results_and_errors_is_harmless(text: str) -> None:
    stage = Stage(plan_more={"refused": (Unwritten(text, text),), "warnings": (text,), "target_name": text})
    async with deck(stage, start="connections") as d:
        await d.press("x", "enter")
        assert_harmless(d, SMALL)
        d.stage.faults["run"] = KmsError(text, remedy=text)
        await d.press("right", "enter")
        assert_harmless(d, SMALL)
        await d.press("enter")
        d.stage.faults["page"] = KmsError(text)
        await d.press("r", "y")
        assert_harmless(d, SMALL)


async def test_a_filter_typed_with_markup_is_shown_as_typed() -> None:
    async with deck(start="connections") as d:
        await d.press("slash")
        await d.type("created:[/red]")
        await d.press("enter")
        assert "'[/red]' is not a date." in d.text()
        await d.press("escape", "slash")
        await d.type("org:[bold]x")
        await d.press("enter")
        assert "org:[bold]x" in d.lines()[1]

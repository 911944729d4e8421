"""Text from outside is data: never markup, never control bytes, never wider than its cell."""

from __future__ import annotations

import unicodedata
from dataclasses import replace

import pytest

from crypto_core.findings.finding import Finding, Severity
from crypto_core.lists.coverage import Coverage
from crypto_core.reencryption.plan import Unwritten
from crypto_core.values.errors import KmsError
from screens.memory import Memory
from tests.screens.deck import LARGE, SMALL, deck
from tests.screens.hostile import EACH_TEXT, EACH_TEXT_AND_SIZE, assert_harmless, harmless_after
from tests.screens.samples import HOSTILE, KEYS, hostile_rows
from tests.screens.stage import Stage


@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_hostile_rows_are_shown_as_they_are_written(size: tuple[int, int]) -> None:
    async with deck(Stage(rows=hostile_rows()), start="connections", size=size) as d:
        for _ in HOSTILE:
            assert_harmless(d, size)
            await d.press("down")
        assert "[/red]" in d.text()
        assert "[bold]O" in d.text()


@pytest.mark.deep
@EACH_TEXT
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
        Finding(text, Severity.CRITICAL, "", text, text, text, tokens=1, rows=f"org:{text}"),
        Finding(text, Severity.HIGH, KEYS[0].key_arn, text, text, text, tokens=1),
    )
    stage.coverage = Coverage((text,))
    async with deck(stage) as d:
        await harmless_after(d, SMALL, "down enter", "1 question_mark", "escape 3")


@pytest.mark.deep
@EACH_TEXT
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


@pytest.mark.deep
async def test_a_filter_typed_with_markup_is_shown_as_typed() -> None:
    async with deck(start="connections") as d:
        await d.filter("created:[/red]")
        assert "'[/red]' is not a date." in d.text()
        await d.press("escape", "slash")
        await d.type("org:[bold]x")
        await d.press("enter")
        assert "org:[bold]x" in d.lines()[1]


@EACH_TEXT_AND_SIZE
async def test_hostile_names_of_the_place_are_inert_in_the_header(text: str, size: tuple[int, int]) -> None:
    stage = Stage()
    names = ("profile", "write_key_alias", "write_key", "write_format", "credentials_remedy", "environment")
    stage.place = replace(stage.place, **dict.fromkeys(names, text), aws_trouble="x")
    async with deck(stage, size=size) as d:
        assert_harmless(d, size)


@pytest.mark.deep
@EACH_TEXT
async def test_hostile_text_is_inert_where_it_is_remembered_offered_and_said_in_passing(text: str) -> None:
    memory = Memory()
    memory.save_filter("connections", text, f"org:{text}")
    memory.remember("command", text)
    memory.remember("filter connections", text)
    memory.remember_theme(text)
    async with deck(Stage(rows=hostile_rows()), start="connections", memory=memory) as d:
        for keys in (
            *(("F",), ("escape",), ("colon", "up"), ("enter",), ("slash", "up"), ("enter",), ("escape",)),
            *(("o",), ("escape",), ("y",), ("Y",), ("A",), ("E",), ("escape",), ("colon",), ("escape",)),
        ):
            await d.press(*keys)
            assert_harmless(d, SMALL)
        assert all(unicodedata.category(c) != "Cc" for c in d.app.clipboard if c not in "\t\n")


@EACH_TEXT
async def test_hostile_text_is_inert_in_what_is_answered_to_a_command(text: str) -> None:
    async with deck(Stage(rows=hostile_rows()), start="connections") as d:
        for command in ("sort", "theme", "copy", "filter", "filter @", "context", ""):
            await d.app.run_command(f"{command} {text}".strip())
            await d.settle()
            assert_harmless(d, SMALL)
            if len(d.app.screen_stack) > 1 or d.pane.bar.is_open:
                await d.press("escape")


@pytest.mark.deep
@EACH_TEXT
async def test_hostile_text_is_inert_in_every_column_of_every_table(text: str) -> None:
    stage = Stage(rows=[replace(row, key_material_id=text) for row in hostile_rows()])
    stage.keys = tuple(replace(key, aliases=(f"alias/{text}",), spec=text, origin=text) for key in KEYS)
    async with deck(stage, start="connections", size=(250, 60)) as d:
        for screen in ("2", "3"):
            await d.press(screen)
            d.table.choose_columns([c.name for c in d.pane.listing.columns])
            await d.settle()
            assert_harmless(d, (250, 60))

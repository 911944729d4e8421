"""A refresh shows what changed and nothing else: the cursor stays on its row, on its line of the screen."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crypto_core.envelope import Format
from screens.memory import Memory, SortOrder
from tests.screens.deck import LARGE, Deck, deck
from tests.screens.stage import Stage
from tests.screens.test_table_paging import jump, long_stage, many


def screen_line(d: Deck) -> int:
    return next(i for i, line in enumerate(d.lines()) if line.lstrip().startswith("›"))


def reference(d: Deck) -> str:
    row = d.table.current
    return str(row.ref.row_id) if row is not None else ""


async def test_rows_that_came_above_move_neither_the_cursor_nor_its_line() -> None:
    async with deck(long_stage(300), start="connections") as d:
        await jump(d, 50)
        before, line = reference(d), screen_line(d)
        first = d.stage.rows[0]
        d.stage.rows += [
            replace(first, ref=replace(first.ref, row_id=f"a-{n}"), organisation="new") for n in range(20)
        ]
        await d.press("r")
        assert (reference(d), screen_line(d)) == (before, line)
        assert "71 of 320 tokens" in d.lines()[1]


async def test_rows_that_went_above_move_neither_the_cursor_nor_its_line() -> None:
    async with deck(long_stage(300), start="connections") as d:
        await jump(d, 100)
        before, line = reference(d), screen_line(d)
        del d.stage.rows[10:30]
        await d.press("r")
        assert (reference(d), screen_line(d)) == (before, line)
        assert "81 of 280 tokens" in d.lines()[1]


async def test_a_row_that_changed_shows_that_in_place() -> None:
    async with deck(long_stage(300), start="connections", size=LARGE) as d:
        await d.press("down", "down")
        d.stage.rows[2] = replace(d.stage.rows[2], organisation="moved-in")
        assert "moved-in" not in d.cursor_line()
        await d.press("r")
        assert "moved-in" in d.cursor_line()
        assert reference(d) == "gh-00002"


async def test_the_cursor_follows_its_row_to_another_place_in_the_order() -> None:
    async with deck(long_stage(300), start="connections") as d:
        await jump(d, 40)
        d.stage.rows[40] = replace(
            d.stage.rows[40], format=Format.PLAINTEXT, key_arn=None, plaintext_provider="github"
        )
        await d.press("r")
        assert reference(d) == "gh-00040"
        assert "1 of 300 tokens" in d.lines()[1]


async def test_where_the_row_under_the_cursor_is_gone_the_cursor_stays_near() -> None:
    async with deck(long_stage(300), start="connections") as d:
        await jump(d, 40)
        del d.stage.rows[40]
        await d.press("r")
        assert reference(d) == "gh-00041"
        del d.stage.rows[5:]
        await d.press("r")
        assert reference(d) == "gh-00004"
        d.stage.rows.clear()
        await d.press("r")
        assert "No tokens are stored" in d.text()
        d.stage.rows += many(3)
        await d.press("r")
        assert reference(d) == "gh-00000"


@pytest.mark.deep
async def test_a_refresh_in_the_middle_of_a_long_list_keeps_place_and_order() -> None:
    async with deck(long_stage(), start="connections") as d:
        for _ in range(16):
            await jump(d, 190)
        before, line = reference(d), screen_line(d)
        assert d.pane.feed.window.above
        await d.press("r")
        assert (reference(d), screen_line(d)) == (before, line)
        held = [row.ref.row_id for row in d.pane.feed.window.rows]
        assert held == sorted(set(held))
        await jump(d, -190)
        assert reference(d) == f"gh-{int(before[3:]) - 190:05}"


async def test_a_refresh_at_the_end_of_a_long_list_stays_there() -> None:
    async with deck(long_stage(), start="connections") as d:
        await d.press("end", "up")
        await d.press("r")
        assert reference(d) == "gh-04998"
        assert "4,999 of 5,000 tokens" in d.lines()[1]


@pytest.mark.deep
async def test_the_order_chosen_last_is_remembered_for_the_next_day() -> None:
    saved: list[dict[str, object]] = []
    memory = Memory(save=lambda content: saved.append(dict(content)))
    async with deck(start="connections", memory=memory) as d:
        await d.command("sort org desc")
    async with deck(start="connections", memory=Memory(saved[-1])) as d:
        assert "sort: org ↓" in d.lines()[1]
        first = d.table.current
        assert first is not None
        assert first.organisation == "umbrella"


async def test_an_order_that_there_is_no_more_is_not_asked_for() -> None:
    memory = Memory()
    memory.remember_order("connections", SortOrder("colour", descending=True))
    async with deck(start="connections", memory=memory) as d:
        assert "sort: state ↓" in d.lines()[1]
        assert "1,200 tokens" in d.lines()[1]


@pytest.mark.deep
async def test_ties_never_jump_however_often_the_same_is_asked() -> None:
    async with deck(Stage(rows=many(400)[::-1]), start="connections") as d:
        await d.command("sort org")
        first = [row.ref for row in d.pane.feed.window.rows]
        d.stage.rows.reverse()
        await d.press("r")
        assert [row.ref for row in d.pane.feed.window.rows] == first

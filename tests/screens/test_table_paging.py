"""A long list: page after page both ways, to its end, and nothing is lost, doubled or held for ever."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crypto_core.database.tokens.inventory import InventoryRow
from crypto_core.values.errors import DatabaseUnreachableError
from screens.widgets.table.feed import PAGE
from screens.widgets.table.window import MOST
from tests.screens.deck import LARGE, Deck, deck
from tests.screens.samples import make_rows
from tests.screens.stage import Stage

MANY = 5_000


def many(number: int = MANY) -> list[InventoryRow]:
    first = make_rows()[1]
    return [
        replace(first, ref=replace(first.ref, row_id=f"gh-{n:05}"), organisation=f"org-{n % 7}")
        for n in range(number)
    ]


def long_stage(number: int = MANY) -> Stage:
    return Stage(rows=many(number))


def ids(d: Deck) -> list[str]:
    return [row.ref.row_id for row in d.pane.feed.window.rows]


def position(d: Deck) -> str:
    """What the title says of the place in the list."""
    return d.lines()[1].rsplit("›", 1)[-1].split("   ")[-2].strip()


async def jump(d: Deck, rows: int) -> None:
    d.table.move_to(d.table.cursor + rows, 1 if rows > 0 else -1)
    await d.settle()


@pytest.mark.quick(0)
@pytest.mark.parametrize("descending", [False, True])
async def test_paging_through_a_long_list_shows_every_row_once_in_order_and_holds_few(
    descending: bool,
) -> None:
    async with deck(long_stage(), start="connections") as d:
        await d.command(f"sort reference {'desc' if descending else 'asc'}")
        everything = sorted((row.ref.row_id for row in d.stage.rows), reverse=descending)
        for direction, last in ((1, everything[-1]), (-1, everything[0])):
            seen = set(ids(d)) - {last}
            while last not in seen:
                await jump(d, direction * MANY)
                held = ids(d)
                assert len(held) <= MOST + PAGE
                at = everything.index(held[0])
                assert held == everything[at : at + len(held)]
                row = d.table.current
                assert row is not None
                assert position(d) == f"{everything.index(row.ref.row_id) + 1:,} of 5,000 tokens"
                seen.update(held if last in held and row.ref.row_id == last else set(held) - {last})
            assert seen == set(everything)


@pytest.mark.deep
async def test_the_end_and_the_beginning_are_one_key_away_and_one_page_each() -> None:
    async with deck(long_stage(), start="connections") as d:
        before = d.stage.calls.count("page")
        await d.press("end")
        assert d.stage.calls.count("page") == before + 1
        assert "gh-04999" in d.cursor_line()
        assert position(d) == "5,000 of 5,000 tokens"
        await jump(d, -190)
        assert "gh-04809" in d.cursor_line()
        assert position(d) == "4,810 of 5,000 tokens"
        await d.press("g")
        assert "gh-00000" in d.cursor_line()
        assert position(d) == "1 of 5,000 tokens"
        await d.press("G", "up")
        assert "gh-04998" in d.cursor_line()


async def test_until_the_count_is_known_the_title_says_how_many_rows_are_loaded() -> None:
    stage = long_stage()
    gate = stage.hold("count")
    async with deck(stage, start="connections") as d:
        assert position(d) == "200 loaded"
        await d.press("end")
        assert "loaded" in position(d)
        gate.set()
        await d.settle()
        assert position(d) == "5,000 of 5,000 tokens"


async def test_a_track_on_the_right_shows_where_in_the_whole_list_the_view_is() -> None:
    async with deck(long_stage(), start="connections", size=LARGE) as d:
        assert d.table._thumb() is not None
        top = d.table._thumb()
        await d.press("end")
        bottom = d.table._thumb()
        assert top is not None
        assert bottom is not None
        height = d.table.size.height - 1
        assert top.start == 0
        assert bottom.stop == height


async def test_the_mouse_wheel_asks_for_more_and_leaves_the_cursor_on_its_row() -> None:
    async with deck(long_stage(), start="connections") as d:
        row = d.table.current
        d.table.scroll_to(y=190, animate=False)
        await d.settle()
        assert len(ids(d)) == 400
        assert d.table.current is row


@pytest.mark.deep
async def test_only_one_page_is_asked_for_at_a_time() -> None:
    async with deck(long_stage(), start="connections") as d:
        before = d.stage.calls.count("page")
        gate = d.stage.hold("page")
        for _ in range(30):
            await d.pilot.press("pagedown")
        await d.settle()
        assert d.stage.calls.count("page") == before + 1
        assert d.table.cursor == 199
        assert "more tokens follow…" in d.text()
        await d.press("home")
        assert "gh-00000" in d.cursor_line()
        gate.set()
        await d.until(lambda: len(ids(d)) >= 400)


async def test_a_page_that_does_not_come_is_told_and_asked_for_again_on_the_next_move() -> None:
    async with deck(long_stage(), start="connections") as d:
        d.stage.faults["page"] = DatabaseUnreachableError("No connection to pg-1:5432.")
        await jump(d, 190)
        assert "✖ No connection to pg-1:5432. Check DATABASE_URL" in d.text()
        assert len(ids(d)) == 200
        d.stage.faults.clear()
        await d.press("down")
        assert len(ids(d)) == 400
        assert "No connection" not in d.text()


async def test_the_count_is_asked_for_once_the_rows_are_there() -> None:
    stage = long_stage(1_000)
    gate = stage.hold("page")
    async with deck(stage, start="connections") as d:
        assert "count" not in d.stage.calls
        gate.set()
        await d.until(lambda: "count" in d.stage.calls)
        assert "1 of 1,000 tokens" in d.lines()[1]


async def test_a_list_that_is_held_whole_is_not_counted() -> None:
    async with deck(long_stage(50), start="connections") as d:
        await d.press("r")
        assert "count" not in d.stage.calls
        assert "1 of 50 tokens" in d.lines()[1]


async def test_a_refresh_shows_the_count_that_was_known_until_there_is_another() -> None:
    async with deck(long_stage(1_000), start="connections") as d:
        gate = d.stage.hold("count")
        del d.stage.rows[900:]
        await d.press("r")
        assert "1 of 1,000 tokens" in d.lines()[1]
        gate.set()
        await d.settle()
        assert "1 of 900 tokens" in d.lines()[1]

"""Marks: on rows one by one, in ranges, on all of a filter but some; and what is done to the marked ones."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crypto_core.reencryption.plan import Selection
from screens.connections.run import RunDialog
from screens.connections.screen import ConnectionsScreen
from screens.reencryption import Preview
from tests.screens.deck import LARGE, Deck, deck
from tests.screens.many_rows import here, many, number, numbers
from tests.screens.stage import Stage
from tests.screens.stage_work import StageWork


def marked(d: Deck) -> list[int]:
    return [number(row) for row in d.table.marks.rows]


def signs(d: Deck, count: int) -> str:
    return "".join(line[0] for line in d.lines()[4 : 4 + count])


async def test_space_marks_a_row_and_goes_on_and_on_a_marked_one_takes_the_mark_away() -> None:
    async with deck(Stage(rows=many(50)), start="connections") as d:
        await d.press("space", "space")
        assert marked(d) == [0, 1]
        assert here(d) == 2
        assert signs(d, 4) == "▌▌› "
        assert "2 marked" in d.lines()[1]
        await d.press("up", "space")
        assert marked(d) == [0]
        assert here(d) == 2
        assert "1 marked" in d.lines()[1]


@pytest.mark.deep
async def test_shift_and_an_arrow_marks_a_range_in_either_direction() -> None:
    async with deck(Stage(rows=many(50)), start="connections") as d:
        await d.press("down", "down", "shift+down", "shift+down", "shift+down")
        assert sorted(marked(d)) == [2, 3, 4, 5]
        await d.press("u", *["down"] * 5, "shift+up", "K")
        assert sorted(marked(d)) == [8, 9, 10]
        await d.press("J", "shift+down")
        assert sorted(marked(d)) == [8, 9, 10]


async def test_all_of_the_filter_are_marked_but_for_those_that_are_unmarked_again() -> None:
    async with deck(Stage(rows=many(1000)), start="connections") as d:
        await d.press("A")
        assert "1,000 marked" in d.lines()[1]
        assert signs(d, 3) == "›▌▌"
        await d.press("down", "space", "space")
        assert "998 marked" in d.lines()[1]
        assert signs(d, 4) == "▌  ›"
        await d.press("up", "space")
        assert "999 marked" in d.lines()[1]
        await d.press("end")
        assert d.table.current in d.table.marks
        await d.press("u")
        assert "marked" not in d.lines()[1]


@pytest.mark.deep
async def test_marks_stay_on_rows_that_are_scrolled_away_and_let_go() -> None:
    async with deck(Stage(rows=many(5000)), start="connections") as d:
        await d.press("space", "space", "end", "space")
        assert 0 not in numbers(d)
        assert "3 marked" in d.lines()[1]
        await d.press("home")
        assert marked(d) == [0, 1, 4999]
        assert signs(d, 3) == "›▌ "


async def test_marks_survive_a_refresh_and_know_what_the_rows_are_by_now() -> None:
    async with deck(Stage(rows=many(50)), start="connections") as d:
        await d.press("space", "space")
        d.stage.rows[0] = replace(d.stage.rows[0], organisation="newcomer")
        d.stage.rows.append(replace(d.stage.rows[0], ref=replace(d.stage.rows[0].ref, row_id="000000")))
        await d.press("r")
        assert marked(d) == [0, 1]
        assert d.table.marks.rows[0].organisation == "newcomer"


@pytest.mark.deep
async def test_single_marks_survive_another_filter_and_marks_on_all_of_a_filter_do_not() -> None:
    async with deck(Stage(rows=many(50)), start="connections") as d:
        await d.press("space")
        await d.filter("org:globex")
        assert marked(d) == [0]
        assert "1 marked" in d.lines()[1]
        await d.press("A", "space")
        assert "9 marked" in d.lines()[1]
        await d.press("s")
        assert "9 marked" in d.lines()[1]
        await d.filter("org:acme")
        assert "marked" not in d.lines()[1]
        assert not d.table.marks


async def test_in_another_place_nothing_is_marked() -> None:
    async with deck(Stage(rows=many(50)), start="connections") as d:
        await d.press("A")
        d.facts.use(Stage(rows=many(20)).services())
        await d.settle()
        assert not d.table.marks


def recorded(d: Deck) -> list[Selection]:
    given: list[Selection] = []

    class Noting(StageWork):
        def verify_tokens(self, selection, **more):  # type: ignore[no-untyped-def]
            given.append(selection)
            return super().verify_tokens(selection, **more)

        def plan_reencryption(self, verb, selection, target, **more):  # type: ignore[no-untyped-def]
            given.append(selection)
            return super().plan_reencryption(verb, selection, target, **more)

    d.facts.services = replace(d.facts.services, work=Noting(d.stage))
    return given


async def test_the_marked_tokens_are_verified_and_the_marks_stay() -> None:
    async with deck(Stage(rows=many(300)), start="connections", size=LARGE) as d:
        given = recorded(d)
        await d.press("space", "down", "space", "v")
        assert isinstance(d.app.screen, RunDialog)
        assert "2 tokens opened" in d.says()
        refs = tuple(d.stage.rows[n].ref for n in (0, 2))
        assert given == [Selection(references=refs)]
        await d.press("enter")
        assert "verified" in d.line_with(":00002")
        assert "verified" not in d.line_with(":00001")
        assert "2 marked" in d.lines()[1]


@pytest.mark.deep
async def test_all_of_a_filter_but_some_are_verified_without_being_loaded() -> None:
    async with deck(Stage(rows=many(2000)), start="connections", size=LARGE) as d:
        given = recorded(d)
        await d.filter("org:acme")
        await d.press("A", "space", "v")
        assert "399 tokens opened" in d.says()
        assert given == [Selection(filter="org:acme", except_for=(d.stage.rows[0].ref,))]
        assert len(numbers_held(d)) == 200


def numbers_held(d: Deck) -> list[int]:
    screen = next(s for s in d.app.screen_stack if isinstance(s, ConnectionsScreen))
    return [number(row) for row in screen.pane.feed.window.rows]


@pytest.mark.deep
async def test_all_of_a_filter_are_written_only_once_their_number_is_typed() -> None:
    async with deck(Stage(rows=many(1000)), start="connections", size=LARGE) as d:
        given = recorded(d)
        await d.filter("org:acme")
        await d.press("A", "space", "e")
        assert "199 tokens" in d.text()
        await d.press("enter")
        assert isinstance(d.app.screen, Preview)
        assert given == [Selection(filter="org:acme", except_for=(d.stage.rows[0].ref,))]
        for wrong in ("1", "200", "1000", "yes"):
            await d.press("ctrl+u")
            await d.type(wrong)
            await d.press("enter")
            assert isinstance(d.app.screen, Preview)
        assert "run" not in d.stage.calls
        await d.press("ctrl+u")
        await d.type("199")
        await d.press("enter")
        assert isinstance(d.app.screen, RunDialog)
        assert "199 of 199 tokens written" in d.says()
        await d.press("enter")
        assert not d.table.marks
        written = [row for row in d.stage.rows if row.evidence.value == "verified"]
        assert len(written) == 199
        assert d.stage.rows[0] not in written


async def test_a_write_that_is_given_up_leaves_the_marks() -> None:
    async with deck(Stage(rows=many(100)), start="connections") as d:
        await d.press("space", "space", "w", "enter", "escape")
        assert marked(d) == [0, 1]
        assert "run" not in d.stage.calls

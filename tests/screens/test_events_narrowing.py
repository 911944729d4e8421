"""Events are narrowed by time, by values and by pivots, and widened again."""

from __future__ import annotations

import pytest

from crypto_core.values.errors import EventStoreError
from screens.event_filters import FIRST
from tests.crypto_core.trail import records
from tests.screens.deck import LARGE, deck
from tests.screens.events_scene import column, counted, expression, shown, stage


@pytest.mark.deep
async def test_zooming_in_narrows_the_list_to_the_time_around_the_cursor_and_out_comes_back() -> None:
    async with deck(stage(), start="events") as d:
        for _ in range(3):
            await d.press("pagedown")
        row = d.table.current
        assert row is not None
        await d.press("z")
        assert "since:2026-" in expression(d)
        assert "until:2026-" in expression(d)
        assert expression(d).startswith("-service")
        ids = {r.event.event_id for r in d.pane.feed.window.rows}
        assert row.event.event_id in ids
        assert len(ids) < 205
        once = expression(d)
        await d.press("z")
        assert expression(d) != once
        await d.press("Z")
        assert expression(d) == once
        await d.press("Z")
        assert expression(d) == FIRST


async def test_zooming_out_of_what_was_opened_shows_three_times_as_much() -> None:
    async with deck(stage(), start="events") as d:
        await d.press("Z")
        assert "1 of 206 events" in d.lines()[1]
        assert "since:2026-06-29T1" in expression(d)


async def test_brackets_move_through_time() -> None:
    async with deck(stage(), start="events") as d:
        await d.press("left_square_bracket")
        assert "since:2026-06-30T00:00" in expression(d)
        assert "until:2026-06-30T23:59" in expression(d)
        before = expression(d)
        await d.press("right_square_bracket")
        assert expression(d) != before
        assert "since:2026-06-30T12:00" in expression(d)
        assert "until:2026-07-01T11:5" in expression(d)


@pytest.mark.deep
async def test_i_narrows_to_the_cell_and_x_leaves_its_value_out_and_esc_comes_back() -> None:
    async with deck(stage(), start="events", size=LARGE) as d:
        await column(d, "principal")
        await d.press("i")
        assert expression(d).endswith(f'principal:"arn:aws:iam::{records.ACCOUNT}:role/oncall"')
        assert "1 of 1 event" in d.lines()[1]
        await d.press("escape")
        assert expression(d) == FIRST
        await d.press("x")
        assert expression(d).endswith(f'-principal:"arn:aws:iam::{records.ACCOUNT}:role/oncall"')
        assert "1 of 204 events" in d.lines()[1]
        assert "role/platform" in d.cursor_line()


@pytest.mark.deep
async def test_i_on_an_empty_cell_asks_for_those_without_a_value() -> None:
    async with deck(stage(), start="events", size=LARGE) as d:
        await column(d, "error")
        await d.press("i")
        assert expression(d).endswith("-error:*")
        assert "1 of 202 events" in d.lines()[1]
        await d.press("escape", "x")
        assert "1 of 3 events" in d.lines()[1]


@pytest.mark.deep
async def test_pivots_count_values_and_enter_on_one_leads_back_to_its_events() -> None:
    async with deck(stage(), start="events", size=LARGE) as d:
        await d.press("v")
        await counted(d)
        assert "role/platform" in d.text()
        assert "200" in d.line_with("role/platform")
        assert "97." in d.line_with("role/platform")
        assert "user/intruder" in d.text()
        line = d.line_with("user/intruder")
        while d.cursor_line()[10:] != line[10:]:
            await d.press("down")
        await d.press("enter")
        assert "user/intruder" in expression(d)
        assert "1 of 4 events" in d.lines()[1]
        assert len(d.app.screen_stack) == 1
        await d.press("escape")
        assert expression(d) == FIRST


@pytest.mark.deep
async def test_a_field_with_many_values_has_a_page_of_its_own_from_which_enter_leads_back() -> None:
    async with deck(stage(), start="events", size=(120, 70)) as d:
        await d.press("v")
        await counted(d)
        more = d.line_with("further value")
        while d.cursor_line().strip("› ") != more.strip():
            await d.press("down")
        await d.press("enter")
        await counted(d)
        assert "By token" in d.lines()[1]
        assert "7 values" in d.text()
        await d.press("enter")
        assert shown(d)
        assert "token:" in expression(d)


async def test_pivots_that_fail_say_so_and_the_others_are_there() -> None:
    there = stage()
    async with deck(there, start="events", size=LARGE) as d:
        there.faults["events.pivot"] = EventStoreError("The store is damaged.")
        await d.press("v")
        await counted(d)
        assert "The store is damaged." in d.text()
        del there.faults["events.pivot"]
        await d.press("r")
        await counted(d)
        assert "role/platform" in d.text()


async def test_a_filter_that_nothing_passes_says_what_the_store_has() -> None:
    async with deck(stage(), start="events") as d:
        await d.filter("name:Nothing")
        assert "No event passes this filter." in d.text()
        assert "The store has 246 events" in d.text()


async def test_a_bad_filter_is_pointed_at() -> None:
    async with deck(stage(), start="events") as d:
        await d.filter("nope:1")
        assert "There is no field 'nope'." in d.text()
        assert "205 events" in d.lines()[1]

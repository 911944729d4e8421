"""Events: who used the keys, and is that normal?"""

from __future__ import annotations

import json
from datetime import timedelta, timezone
from pathlib import Path

import pytest

from crypto_core.errors import EventStoreError, KmsError
from crypto_core.trail.event import TrailEvent
from screens.events.event_screen import EventScreen
from screens.events.pivot_screen import PivotScreen
from screens.events.screen import EventsScreen
from tests.crypto_core.trail import records
from tests.screens.deck import LARGE, Deck, deck
from tests.screens.sample_events import a_day, event
from tests.screens.samples import CURRENT, NOW
from tests.screens.stage import Stage


def stage(events: list[TrailEvent] | None = None) -> Stage:
    made = Stage()
    made.events.add(a_day() if events is None else events)
    return made


def shown(d: Deck) -> EventsScreen:
    assert isinstance(d.app.screen, EventsScreen)
    return d.app.screen


def expression(d: Deck) -> str:
    return d.pane.feed.shown.filter


async def column(d: Deck, heading: str) -> None:
    """Put the cursor on a column."""
    while d.table.columns.current.heading != heading:
        await d.press("right")


async def counted(d: Deck) -> None:
    """Wait until the pivots are there."""
    screen = d.app.screen
    assert isinstance(screen, PivotScreen)
    await d.until(lambda: not screen.freshness[1])


async def test_the_newest_event_comes_first_and_what_services_did_is_hidden_and_counted() -> None:
    async with deck(stage(), start="events") as d:
        assert "-service since:24h" in d.lines()[1]
        assert "1 of 205 events" in d.lines()[1]
        assert "40 service events hidden" in d.text()
        assert "GenerateDataKey" not in d.text()
        assert "11:59:20" in d.cursor_line()
        assert "role/oncall" in d.cursor_line()


async def test_4_leads_there_and_so_does_the_command() -> None:
    async with deck(stage()) as d:
        await d.press("4")
        assert shown(d).NAME == "events"
        await d.press("1")
        await d.command("events")
        assert shown(d)


async def test_a_shows_what_services_did_and_hides_it_again() -> None:
    async with deck(stage(), start="events") as d:
        await d.press("a")
        assert expression(d) == "since:24h"
        assert "GenerateDataKey" in d.text()
        assert "no service events hidden" in d.text()
        await d.press("a")
        assert expression(d) == "-service since:24h"


async def test_people_and_failures_have_a_sign_and_a_word() -> None:
    async with deck(stage(), start="events", size=LARGE) as d:
        await d.filter("principal:*intruder*")
        assert "✖" in d.line_with("AccessDenied")[:4]
        assert "▲ user/intruder" in d.line_with("AccessDenied")
        assert "▲" in d.lines()[d.lines().index(d.line_with("gh-3"))][:4]


async def test_the_bars_say_from_when_to_when_how_high_and_where_calls_failed() -> None:
    async with deck(stage(), start="events") as d:
        bars = shown(d).bars.render().plain.split("\n")
        assert len(bars[0].rstrip()) > 20
        assert set(bars[0]) & set("▁▂▃▄▅▆▇█")
        assert "✖" in bars[-2]
        assert "◆" in bars[-2]
        assert "30 Jun 12:00" in bars[-1]
        assert "peak " in bars[-1]
        assert "✖ 3 failed" in bars[-1]
        assert "1 Jul 12:" in bars[-1]


async def test_the_mark_in_the_bars_follows_the_cursor() -> None:
    async with deck(stage(), start="events") as d:
        before = shown(d).bars.render().plain.split("\n")[-2].index("◆")
        await d.press("pagedown", "pagedown")
        assert shown(d).bars.render().plain.split("\n")[-2].index("◆") < before


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
        assert expression(d) == "-service since:24h"


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


async def test_i_narrows_to_the_cell_and_x_leaves_its_value_out_and_esc_comes_back() -> None:
    async with deck(stage(), start="events", size=LARGE) as d:
        await column(d, "principal")
        await d.press("i")
        assert expression(d).endswith(f'principal:"arn:aws:iam::{records.ACCOUNT}:role/oncall"')
        assert "1 of 1 event" in d.lines()[1]
        await d.press("escape")
        assert expression(d) == "-service since:24h"
        await d.press("x")
        assert expression(d).endswith(f'-principal:"arn:aws:iam::{records.ACCOUNT}:role/oncall"')
        assert "1 of 204 events" in d.lines()[1]
        assert "role/platform" in d.cursor_line()


async def test_i_on_an_empty_cell_asks_for_those_without_a_value() -> None:
    async with deck(stage(), start="events", size=LARGE) as d:
        await column(d, "error")
        await d.press("i")
        assert expression(d).endswith("-error:*")
        assert "1 of 202 events" in d.lines()[1]
        await d.press("escape", "x")
        assert "1 of 3 events" in d.lines()[1]


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
        assert expression(d) == "-service since:24h"


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


async def test_an_event_has_a_page_with_every_field_and_its_record() -> None:
    async with deck(stage(), start="events", size=LARGE) as d:
        await d.filter("token:*gh-3 -failed principal:*intruder")
        await d.press("enter")
        assert isinstance(d.app.screen, EventScreen)
        text = d.text()
        for words in ("user/intruder", "198.51.100.7", "aws-cli/2.31.0", "keydeck:table", "gh_connection"):
            assert words in text
        await d.press("G")
        assert '"eventVersion"' in "\n".join(
            line.content.plain for line in d.app.screen.query_one("EventText")._lines
        )


@pytest.mark.parametrize(
    ("words", "crumb"),
    [("from   ", "ip:"), ("event   ", "name:")],
)
async def test_enter_on_a_field_leads_to_the_events_that_share_it(words: str, crumb: str) -> None:
    async with deck(stage(), start="events", size=LARGE) as d:
        await d.filter("token:*gh-3 -failed principal:*intruder")
        await d.press("enter")
        while words not in d.cursor_line() + "   ":
            await d.press("down")
        await d.press("enter")
        assert isinstance(d.app.screen, EventsScreen)
        assert crumb in expression(d)
        assert len(d.pane.feed.window.rows) > 0
        await d.press("escape")
        assert isinstance(d.app.screen, EventScreen)


async def test_enter_on_a_key_leads_to_it_and_from_there_to_its_use() -> None:
    async with deck(stage(), start="events", size=LARGE) as d:
        await d.press("enter")
        while "alias/tokens" not in d.cursor_line():
            await d.press("down")
        await d.press("enter")
        assert "Key › alias/tokens" in d.lines()[1]
        await d.press("T")
        assert "Use › alias/tokens" in d.lines()[1]
        while "events   " not in d.cursor_line():
            await d.press("down")
        await d.press("enter")
        assert expression(d) == f'key:"{CURRENT}"'
        assert "1 of 246 events" in d.lines()[1]


async def test_copying_an_event_sends_its_id_and_its_record() -> None:
    async with deck(stage(), start="events") as d:
        await d.press("enter", "y")
        assert d.app.clipboard == "00000000-0000-4000-8000-000000003200"
        await d.press("Y")
        assert json.loads(d.app.clipboard)["eventID"] == "00000000-0000-4000-8000-000000003200"


async def test_m_marks_as_reviewed_and_takes_it_back_also_read_only() -> None:
    there = stage()
    there.read_only = True
    async with deck(there, start="events") as d:
        await d.press("m")
        assert "✓" in d.cursor_line()[:4]
        assert there.events.event("00000000-0000-4000-8000-000000003200").reviewed_at == NOW
        await d.press("m")
        assert "✓" not in d.cursor_line()[:4]


async def test_marked_events_are_reviewed_together_and_all_of_a_filter() -> None:
    there = stage()
    async with deck(there, start="events") as d:
        await d.press("space", "space", "space", "m")
        assert there.events.summary("reviewed").events == 3
        await d.press("u", "A", "space", "m")
        assert there.events.summary("reviewed").events >= 204
        assert any("Reviewed: " in said for said in d.toasts())


async def test_a_note_is_asked_for_shown_and_taken_away() -> None:
    there = stage()
    async with deck(there, start="events", size=LARGE) as d:
        await d.press("n")
        await d.type("asked ana")
        await d.press("enter")
        assert there.events.event("00000000-0000-4000-8000-000000003200").note == "asked ana"
        assert "✎ asked ana" in d.says()
        await d.press("enter")
        assert "✎ asked ana" in d.text()
        await d.press("n")
        await d.pilot.press("ctrl+u")
        await d.press("enter")
        assert there.events.event("00000000-0000-4000-8000-000000003200").note == ""


async def test_new_events_come_by_themselves_and_following_stays_with_the_newest() -> None:
    there = stage()
    async with deck(there, start="events") as d:
        before = d.cursor_line()
        there.events.add([event(9_000, ago=1)])
        await d.tick(6)
        assert d.cursor_line() == before
        await d.press("f")
        assert "following" in d.lines()[1]
        assert "11:59:59" in d.cursor_line()
        there.events.add([event(9_001, ago=0)])
        await d.tick(6)
        assert "12:00:00" in d.cursor_line()
        await d.press("f")
        assert "following" not in d.lines()[1]


async def test_an_unchanged_store_is_not_read_again() -> None:
    there = stage()
    async with deck(there, start="events") as d:
        await d.tick(6)
        before = there.calls.count("events.page")
        await d.tick(6)
        await d.tick(6)
        assert there.calls.count("events.page") == before


async def test_following_pulls_every_minute_from_a_little_before_the_last_event() -> None:
    there = stage()
    async with deck(there, start="events") as d:
        there.puller.brings = [event(9_000, ago=0)]
        await d.press("f")
        assert there.puller.asked == [NOW - timedelta(hours=1, minutes=15)]
        assert "12:00:00" in d.cursor_line()
        await d.tick(10)
        assert len(there.puller.asked) == 1
        await d.tick(60)
        assert there.puller.asked[1:] == [NOW - timedelta(minutes=15)]


async def test_a_pull_shows_how_far_it_is_and_can_be_stopped() -> None:
    there = stage()
    async with deck(there, start="events", size=LARGE) as d:
        there.hold("pull")
        there.puller.brings = [event(9_000)]
        await d.press("P")
        await d.until(lambda: "1 events, 1 new" in d.text())
        assert "pulling eu-west-1" in d.lines()[1]
        await d.press("down", "v", "escape", "P")
        assert "The pull was stopped" in d.text()
        there.gates.clear()
        await d.press("P")
        assert "The pull was stopped" not in d.text()


async def test_a_pull_says_what_it_brought_and_what_it_lacks() -> None:
    there = stage()
    async with deck(there, start="events", size=LARGE) as d:
        there.puller.brings = [event(9_000)]
        there.puller.gaps = ("us-east-1: kms denied [/red]",)
        await d.command("pull 2h")
        assert there.puller.asked == [NOW - timedelta(hours=2)]
        assert "1 new of 1 events." in d.toasts()
        assert "doesn't cover everything: us-east-1: kms denied [/red]" in d.text()
        assert "2 of 206 events" in d.lines()[1]
        await d.command("pull nonsense")
        assert len(there.puller.asked) == 1
        there.faults["pull"] = KmsError("No route.", remedy="Look at the network.")
        await d.press("P")
        assert "Pull: No route." in d.text()


async def test_an_empty_store_says_why_and_what_to_do() -> None:
    async with deck(Stage(), start="events") as d:
        assert "No events are in the store: nothing was fetched or imported yet." in d.text()
        assert "P fetches" in d.text()
        assert "keydeck events import PATH" in d.text()
        d.stage.puller.brings = a_day()
        await d.press("P")
        assert "1 of 205 events" in d.lines()[1]


async def test_a_filter_that_nothing_passes_says_what_the_store_has() -> None:
    async with deck(stage(), start="events") as d:
        await d.filter("name:Nothing")
        assert "No event passes this filter." in d.text()
        assert "The store has 246 events" in d.text()


async def test_trouble_with_the_store_is_shown_and_r_asks_again() -> None:
    there = stage()
    there.faults["events.page"] = EventStoreError("The store can't be opened.")
    async with deck(there, start="events") as d:
        assert "The store can't be opened." in d.text()
        assert "KEYDECK_EVENTS_FILE" in d.text()
        del there.faults["events.page"]
        await d.press("r")
        assert "1 of 205 events" in d.lines()[1]
        assert "can't be opened" not in d.text()


@pytest.mark.parametrize("call", ["events.summary", "events.histogram", "events.state", "events.count"])
async def test_rows_are_there_though_counts_fail(call: str) -> None:
    there = stage()
    there.faults[call] = EventStoreError("Not now.")
    async with deck(there, start="events") as d:
        assert "role/oncall" in d.cursor_line()
        await d.press("r", "down", "z", "v", "escape")
        assert shown(d)


async def test_nothing_waits_for_counts_that_hang() -> None:
    there = stage()
    there.hold("events.summary", "events.histogram", "events.count", "events.state", "events.pivot")
    async with deck(there, start="events") as d:
        assert "role/oncall" in d.cursor_line()
        await d.press("down", "r", "a", "v", "escape", "1", "4")
        assert shown(d)


async def test_a_bad_filter_is_pointed_at() -> None:
    async with deck(stage(), start="events") as d:
        await d.filter("nope:1")
        assert "There is no field 'nope'." in d.text()
        assert "205 events" in d.lines()[1]


async def test_export_writes_the_whole_event(tmp_path: Path) -> None:
    async with deck(stage(), start="events") as d:
        path = tmp_path / "events.jsonl"
        await d.command(f"export {path}")
        await d.press("enter")
        await d.until(path.exists)
        written = [json.loads(line) for line in path.read_text().splitlines()]
        assert len(written) == 205
        assert json.loads(written[0]["raw"])["eventID"] == written[0]["event_id"]


@pytest.mark.parametrize("hours", [-11, 0, 13])
async def test_years_1_and_9999_and_events_without_a_time_are_shown(hours: int) -> None:
    odd = [
        event(1, eventTime="0001-01-01T00:00:00Z"),
        event(2, eventTime="9999-12-31T23:59:59Z"),
        event(3, eventTime=None),
        event(4, eventTime="0001-01-01T00:30:00Z"),
    ]
    there = stage(odd)
    async with deck(there, start="events", size=LARGE) as d:
        d.clock.now = NOW.astimezone(timezone(timedelta(hours=hours)))
        await d.filter("*")
        assert "1 of 4 events" in d.lines()[1]
        assert "9999-12-31" in d.cursor_line()
        for key in ("z", "Z", "Z", "left_square_bracket", "right_square_bracket", "escape", "escape", "v"):
            await d.press(key)
        await d.press("escape", "enter")
        assert d.lines()


async def test_status_shows_the_last_day_and_leads_to_it() -> None:
    there = stage()
    async with deck(there, size=LARGE) as d:
        await d.until(lambda: "24 h " in d.text())
        line = d.line_with("24 h ")
        assert "decrypts 205" in line
        assert "✖ denied 3" in line
        assert "▲ new principals 2" in line
        while "24 h " not in d.cursor_line():
            await d.press("down")
        await d.press("enter")
        assert expression(d) == "-service since:24h"


async def test_status_says_nothing_of_events_where_there_are_none_or_no_answer() -> None:
    async with deck(size=LARGE) as d:
        assert "24 h " not in d.text()
    there = stage()
    there.faults["events.histogram"] = EventStoreError("Damaged.")
    async with deck(there, size=LARGE) as d:
        assert "24 h " not in d.text()
        assert "Damaged." not in d.text()

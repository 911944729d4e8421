"""Events: who used the keys, and is that normal? The list, its bars, and what shows where counts fail."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta, timezone
from pathlib import Path

import pytest

from crypto_core.findings.finding import Finding, Gap, Severity
from crypto_core.values.errors import EventStoreError
from screens.event_filters import FIRST
from tests.screens.deck import LARGE, deck
from tests.screens.events_scene import expression, shown, stage
from tests.screens.sample_events import event
from tests.screens.samples import NOW


async def test_the_newest_event_comes_first_and_what_services_did_is_hidden_and_counted() -> None:
    async with deck(stage(), start="events") as d:
        assert FIRST in d.lines()[1]
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
        assert expression(d) == FIRST


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


@pytest.mark.quick(1)
@pytest.mark.parametrize("call", ["events.summary", "events.histogram", "events.state", "events.count"])
async def test_rows_are_there_though_counts_fail(call: str) -> None:
    there = stage()
    there.faults[call] = EventStoreError("Not now.")
    async with deck(there, start="events") as d:
        assert "role/oncall" in d.cursor_line()
        await d.press("r", "down", "z", "v", "escape")
        assert shown(d)


@pytest.mark.deep
async def test_nothing_waits_for_counts_that_hang() -> None:
    there = stage()
    there.hold("events.summary", "events.histogram", "events.count", "events.state", "events.pivot")
    async with deck(there, start="events") as d:
        assert "role/oncall" in d.cursor_line()
        await d.press("down", "r", "a", "v", "escape", "1", "4")
        assert shown(d)


async def test_export_writes_the_whole_event(tmp_path: Path) -> None:
    async with deck(stage(), start="events") as d:
        path = tmp_path / "events.jsonl"
        await d.command(f"export {path}")
        await d.press("enter")
        await d.until(path.exists)
        written = [json.loads(line) for line in path.read_text().splitlines()]
        assert len(written) == 205
        assert json.loads(written[0]["raw"])["eventID"] == written[0]["event_id"]


@pytest.mark.quick(1)
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
        assert "new principals 0" in d.line_with("24 h ")
        there.faults["events.histogram"] = EventStoreError("Damaged.")
        d.clock.pass_(60)
        await d.press("r")
        assert "24 h " not in d.text()
    there.faults.clear()
    there.trail_gaps = (Gap("Nothing was delivered since noon.", Severity.HIGH),)
    async with deck(there, size=LARGE) as d:
        await d.until(lambda: "24 h " in d.text())
        assert "new principals ?" in d.line_with("24 h ")
    new = Finding("event-decrypt-new-principal", Severity.HIGH, "arn:x", "never decrypted before", "", "")
    there.trail_findings = (new, replace(new, subject="arn:y"), replace(new, rule="event-root"))
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
    async with deck(there, size=(200, 50)) as d:
        await d.until(lambda: "events in 24 h" in d.text())
        assert "█" in "".join(line[122:] for line in d.lines())


async def test_status_says_nothing_of_events_where_there_are_none_or_no_answer() -> None:
    async with deck(size=LARGE) as d:
        assert "24 h " not in d.text()
    there = stage()
    there.faults["events.histogram"] = EventStoreError("Damaged.")
    async with deck(there, size=LARGE) as d:
        assert "24 h " not in d.text()
        assert "Damaged." not in d.text()

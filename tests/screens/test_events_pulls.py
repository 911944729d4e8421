"""New events come by themselves, by following and by pulls."""

from __future__ import annotations

from datetime import timedelta

import pytest

from crypto_core.values.errors import KmsError
from tests.screens.deck import LARGE, deck
from tests.screens.events_scene import stage
from tests.screens.sample_events import a_day, event
from tests.screens.samples import NOW
from tests.screens.stage import Stage


@pytest.mark.deep
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


@pytest.mark.deep
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


@pytest.mark.deep
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


@pytest.mark.deep
async def test_a_pull_says_what_it_brought_and_what_it_lacks() -> None:
    there = stage()
    async with deck(there, start="events", size=LARGE) as d:
        there.puller.brings = [event(9_000)]
        there.puller.gaps = ("us-east-1: kms denied [/red]",)
        await d.command("pull 2h")
        assert there.puller.asked == [NOW - timedelta(hours=2)]
        assert "1 new of 1 events." in d.toasts()
        assert there.calls.count("rules") == 1  # findings about them are examined anew
        assert "doesn't cover everything: us-east-1: kms denied [/red]" in d.text()
        assert "2 of 206 events" in d.lines()[1]
        await d.command("pull nonsense")
        assert len(there.puller.asked) == 1
        there.faults["pull"] = KmsError("No route.", remedy="Look at the network.")
        await d.press("P")
        assert "Pull: No route." in d.text()


@pytest.mark.deep
async def test_an_empty_store_says_why_and_what_to_do() -> None:
    async with deck(Stage(), start="events") as d:
        assert "No events are in the store: nothing was fetched or imported yet." in d.text()
        assert "P fetches" in d.text()
        assert "keydeck events import PATH" in d.text()
        d.stage.puller.brings = a_day()
        await d.press("P")
        assert "1 of 205 events" in d.lines()[1]

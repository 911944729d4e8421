"""The watch over a key: every use as it comes, and never more quiet than is proved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from crypto_core.errors import EventStoreError, KmsError
from crypto_core.lists.coverage import Coverage
from crypto_core.trail.event import TrailEvent
from screens.events.event_screen import EventScreen
from screens.events.screen import EventsScreen
from screens.keys.key_screen import KeyScreen
from screens.keys.screen import KeysScreen
from screens.use.watch_screen import WatchScreen
from screens.widgets.line_list import LineList
from tests.crypto_core.trail import records
from tests.screens.deck import LARGE, deck
from tests.screens.hostile import EACH_TEXT_AND_SIZE
from tests.screens.sample_events import denied, event
from tests.screens.stage import Stage
from tests.screens.test_hostile_events import hostile
from tests.screens.test_hostile_text import assert_harmless
from tests.screens.test_token_timeline import go_to, there

LOOK = 61.0
"""Seconds after which the page looks again by itself."""


def stage_with(events: Sequence[TrailEvent]) -> Stage:
    made = Stage()
    made.events.add(events)
    return made


def own(number: int, **more: Any) -> TrailEvent:
    """A use by Keydeck, in the operator's name."""
    agent = "Boto3/1.40.21 app/keydeck"
    return event(number, who=records.role("oncall", "ana"), userAgent=agent, **more)


async def test_w_watches_from_now_on_and_shows_each_use_as_it_comes() -> None:
    stage = there()
    async with deck(stage, start="keys", size=LARGE) as d:
        await d.press("w")
        assert isinstance(d.app.screen, WatchScreen)
        assert "Keys › Watch › alias/tokens …9f2c" in d.lines()[1]
        assert "No use yet." in d.text()
        assert "use 0 · failed 0 · denied 0 · change 0 · Keydeck's own 0" in d.line_with("seen   ")
        stage.events.add([event(9_000, ago=-10, who=records.user())])
        await d.tick(LOOK)
        assert "use 1 · failed 0" in d.line_with("seen   ")
        assert "▲ use" in d.line_with("user/intruder")
        stage.events.add([event(9_001, ago=-70, context=records.context("gh-2"))])
        await d.tick(LOOK)
        assert d.text().index("token:gh-2") < d.text().index("user/intruder")


async def test_each_kind_is_told_apart_by_a_sign_and_a_word_and_keydecks_own_use_does_not_count() -> None:
    stage = stage_with(
        [
            event(1, ago=7_200),
            event(2, ago=7_300, errorCode="DisabledException"),
            denied(3, ago=7_400),
            event(4, "DisableKey", ago=7_500, who=records.user("ana")),
            own(5, ago=3_600),
        ]
    )
    async with deck(stage, start="keys", size=LARGE) as d:
        await d.command("watch 7d")
        assert "use 1 · failed 1 · denied 1 · change 1 · Keydeck's own 1" in d.line_with("seen   ")
        assert d.text().count("▲ use") == 1
        assert "✖ failed" in d.text()
        assert "✖ denied" in d.text()
        assert "○ change" in d.line_with("DisableKey")
        assert "· use" in d.line_with("(Keydeck)")
        assert "for 1 h, since the last use at 10:00:00" in d.line_with("quiet   ")
        assert "until 11:45:00 in eu-west-1" in d.line_with("covered   ")


@pytest.mark.deep
async def test_quiet_is_claimed_only_as_far_as_it_is_covered() -> None:
    stage = Stage()
    stage.events.add([event(1, ago=9 * 86_400)])
    async with deck(stage, start="keys", size=LARGE) as d:
        await d.command("watch 2h")
        assert "for 1 h, since 10:00:00" in d.line_with("quiet   ")
        stage.key_monitor.covered = Coverage(("eu-west-1: not fetched from 10:30 to 11:00.",))
        await d.press("r")
        assert "not known" in d.line_with("quiet   ")
        assert "for 1 h" not in d.text()
        assert "not all: what is missing is listed below" in d.line_with("covered   ")
        assert "▲ not covered: eu-west-1: not fetched from 10:30 to 11:00." in d.text()
        await d.press("escape")
        stage.key_monitor.covered = Coverage()
        await d.press("w")
        assert "nothing since 12:00:00 is covered" in d.line_with("quiet   ")
        assert "covered      nothing yet: CloudTrail may be 15 min late" in d.text()


@pytest.mark.parametrize(
    ("written", "said"), [("rubbish", "is not a valid time"), ("2027-01-01", "That time is in the future")]
)
async def test_a_time_that_is_none_or_lies_ahead_is_refused(written: str, said: str) -> None:
    async with deck(there(), start="keys", size=LARGE) as d:
        await d.command(f"watch {written}")
        assert isinstance(d.app.screen, KeysScreen)
        assert said in " ".join(d.toasts())


@pytest.mark.deep
async def test_enter_leads_to_the_event_and_to_the_key() -> None:
    async with deck(there(), start="keys", size=LARGE) as d:
        await d.command("watch 7d")
        await go_to(d, "role/oncall")
        await d.press("enter")
        assert isinstance(d.app.screen, EventScreen)
        assert "role/oncall" in d.text()
        await d.press("escape")
        assert isinstance(d.app.screen, WatchScreen)
        await go_to(d, "key   ")
        await d.press("enter")
        assert isinstance(d.app.screen, KeyScreen)
        await d.command("watch")
        assert isinstance(d.app.screen, WatchScreen)


async def test_the_cursor_stays_on_its_use_while_others_come_above_it() -> None:
    stage = stage_with([event(1, ago=600, who=records.user())])
    async with deck(stage, start="keys", size=LARGE) as d:
        await d.command("watch 7d")
        await go_to(d, "user/intruder")
        stage.events.add([event(n, ago=-n) for n in range(2, 6)])
        await d.tick(LOOK)
        assert "user/intruder" in d.cursor_line()
        assert d.text().count("▲ use") == 5


@pytest.mark.deep
async def test_it_looks_by_itself_not_while_paused_and_not_out_of_sight() -> None:
    stage = there()
    async with deck(stage, start="keys", size=LARGE) as d:
        await d.press("w")
        looks = stage.calls.count("monitor.look")
        await d.tick(30)
        assert stage.calls.count("monitor.look") == looks
        await d.tick(31)
        assert stage.calls.count("monitor.look") == looks + 1
        await d.press("p")
        await d.tick(LOOK)
        assert stage.calls.count("monitor.look") == looks + 1
        await d.press("p", "1")
        looks = stage.calls.count("monitor.look")  # it may have looked before it was left
        await d.tick(LOOK)
        assert stage.calls.count("monitor.look") == looks
        stage.events.add([event(9_000, ago=-10, who=records.user())])
        await d.press("3")
        assert "user/intruder" in d.text()


@pytest.mark.deep
async def test_more_than_one_look_takes_is_read_at_once_and_what_is_not_listed_is_counted() -> None:
    stage = stage_with([event(n, ago=n + 1) for n in range(1_203)])
    async with deck(stage, start="keys", size=LARGE) as d:
        await d.command("watch 7d")
        assert "use 1,203" in d.line_with("seen   ")
        lines = d.app.screen.query_one(LineList)
        assert any("… and 203 uses that came before" in line.content.plain for line in lines._lines)
        await d.press("G", "enter")
        assert isinstance(d.app.screen, EventsScreen)
        assert d.pane.feed.count == 1_203


@pytest.mark.deep
async def test_left_it_stops_at_once_and_what_came_by_then_is_there_on_return() -> None:
    stage = there()
    async with deck(stage, start="keys", size=LARGE) as d:
        stage.hold("monitor.begin")
        await d.press("w")
        assert "by LookupEvents" in d.text()
        await d.press("question_mark", "escape")
        assert stage.waiting == 1
        await d.press("escape")
        assert isinstance(d.app.screen, KeysScreen)
        await d.until(lambda: stage.waiting == 0)
        stage.gates.clear()
        await d.press("minus")
        assert isinstance(d.app.screen, WatchScreen)
        gate = stage.hold("monitor.look")
        stage.events.add([event(9_000, ago=-10, who=records.user())])
        await d.press("r", "escape")
        gate.set()
        stage.gates.clear()
        await d.settle()
        await d.press("minus", "r")
        assert d.text().count("user/intruder") == 1


async def test_whether_a_use_is_keydecks_own_may_not_be_known_and_that_is_said() -> None:
    def nobody() -> str:
        raise KmsError("sts:GetCallerIdentity is denied.")

    stage = stage_with([own(1, ago=3_600)])
    stage.key_monitor._service = replace(stage.key_monitor._service, identity=nobody)
    async with deck(stage, start="keys", size=LARGE) as d:
        await d.command("watch 2h")
        assert "▲ Which uses are Keydeck's own is not known: sts:GetCallerIdentity is denied." in d.text()
        assert "use 1 · failed 0 · denied 0 · change 0 · Keydeck's own 0" in d.line_with("seen   ")


@pytest.mark.deep
async def test_trouble_with_the_store_is_shown_and_what_was_known_stays() -> None:
    stage = there()
    async with deck(stage, start="keys", size=LARGE) as d:
        await d.command("watch 1h")
        stage.faults["monitor.look"] = EventStoreError("The store is damaged.")
        await d.press("r")
        assert "✖ The store is damaged." in d.text()
        assert "role/oncall" in d.text()


@EACH_TEXT_AND_SIZE
async def test_hostile_uses_are_inert(text: str, size: tuple[int, int]) -> None:
    stage = stage_with([hostile(n, text) for n in range(3)])
    stage.events.add([hostile(10 + n, text, eventName="Decrypt") for n in range(3)])
    stage.key_monitor.covered = Coverage((text,))
    async with deck(stage, start="keys", size=size) as d:
        await d.command("watch 7d")
        assert isinstance(d.app.screen, WatchScreen)
        for key in (*["down"] * 5, "G", "enter", "escape", "question_mark", "escape"):
            await d.press(key)
            assert_harmless(d, size)

"""How often a screen asks anew by itself: as set, paused, by hand; and never more often than it can."""

from __future__ import annotations

import pytest

from crypto_core.values.errors import KmsError
from screens.help import Help
from tests.screens.deck import LARGE, Deck, deck
from tests.screens.stage import Stage

CALLS = {"status": "status", "connections": "page", "keys": "keys"}


def asked(d: Deck, start: str) -> int:
    return d.stage.calls.count(CALLS[start])


@pytest.mark.parametrize(("start", "seconds"), [("status", 30), ("connections", 30), ("keys", 60)])
async def test_each_screen_has_a_rhythm_of_its_own_and_shows_it(start: str, seconds: int) -> None:
    async with deck(start=start) as d:
        assert f"↻{seconds}s" in d.lines()[0]
        before = asked(d, start)
        await d.tick(seconds - 1)
        assert asked(d, start) == before
        assert f" {seconds - 5} s ago" in d.lines()[0]
        await d.tick(1)
        assert asked(d, start) == before + 1
        assert "now" in d.lines()[0]


async def test_settings_give_other_intervals_and_never_is_never() -> None:
    async with deck(intervals={"status": 12.0, "connections": 0.0}) as d:
        assert "↻12s" in d.lines()[0]
        await d.press("2")
        assert "↻off" in d.lines()[0]
        before = asked(d, "connections")
        await d.tick(86_400)
        assert asked(d, "connections") == before


async def test_p_pauses_and_goes_on_and_r_still_asks() -> None:
    async with deck() as d:
        await d.press("p")
        assert "paused" in d.lines()[0]
        before = asked(d, "status")
        await d.tick(3600)
        assert asked(d, "status") == before
        await d.press("r")
        assert asked(d, "status") == before + 1
        await d.press("p")
        assert "↻30s" in d.lines()[0]
        await d.tick(30)
        assert asked(d, "status") == before + 2


async def test_a_pause_is_for_one_screen() -> None:
    async with deck() as d:
        await d.press("p", "2")
        assert "↻30s" in d.lines()[0]
        await d.press("1")
        assert "paused" in d.lines()[0]


async def test_a_screen_that_is_not_looked_at_does_not_ask_and_catches_up_when_it_is() -> None:
    async with deck(start="connections") as d:
        await d.press("1")
        before = d.stage.calls.count("page")
        await d.tick(40)
        assert d.stage.calls.count("page") == before
        await d.press("2")
        assert d.stage.calls.count("page") == before + 1


async def test_nothing_is_asked_twice_while_an_answer_is_waited_for() -> None:
    async with deck(size=LARGE) as d:
        gate = d.stage.hold("status")
        before = asked(d, "status")
        await d.tick(30)
        await d.tick(30)
        await d.press("r", "r")
        assert asked(d, "status") == before + 1
        assert "⟳ 1 min ago" in d.lines()[0]
        gate.set()
        await d.settle()
        assert "⟳" not in d.lines()[0]


async def test_a_refresh_that_finds_nothing_new_paints_the_same() -> None:
    async with deck(start="connections", size=LARGE) as d:
        await d.press("down", "space", "down")
        before = d.text()
        await d.tick(30)
        assert d.text() == before


@pytest.mark.deep
async def test_what_is_seen_behind_a_dialog_goes_on_being_refreshed_and_the_dialog_stays() -> None:
    async with deck(Stage(), start="connections") as d:
        screen = d.app.screen
        await d.press("question_mark")
        before = d.stage.calls.count("page")
        d.clock.pass_(60)
        screen._tick()  # type: ignore[attr-defined]
        await d.settle()
        assert d.stage.calls.count("page") == before + 1
        assert isinstance(d.app.screen, Help)
        await d.press("escape")
        assert d.app.screen is screen


async def test_a_page_that_was_asked_for_in_vain_is_asked_for_again_at_its_rhythm() -> None:
    async with deck(start="keys", size=LARGE) as d:
        await d.press("enter")
        d.stage.faults["show"] = KmsError("KMS does not answer.")
        await d.tick(61)
        asked_ = d.stage.calls.count("show")
        for _ in range(5):
            await d.tick(1)
        assert d.stage.calls.count("show") == asked_
        await d.tick(60)
        assert d.stage.calls.count("show") == asked_ + 1


@pytest.mark.quick(1)
@pytest.mark.parametrize(
    ("start", "call", "seconds"),
    [
        ("status", "status", 30),
        ("keys", "keys", 60),
        ("findings", "posture", 300),
        ("findings", "rules", 300),
    ],
)
async def test_what_was_asked_for_in_vain_is_asked_for_again_at_the_screens_rhythm(
    start: str, call: str, seconds: int
) -> None:
    async with deck(start=start, size=LARGE) as d:
        assert f"↻{seconds}s" in d.lines()[0]
        d.stage.faults[call] = KmsError("KMS does not answer.")
        await d.tick(seconds + 1)
        before = d.stage.calls.count(call)
        for _ in range(5):
            await d.tick(1)
        assert d.stage.calls.count(call) == before
        await d.tick(seconds)
        assert d.stage.calls.count(call) == before + 1

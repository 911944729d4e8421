"""The top of every screen: where the console works, how fresh its data is, what does not answer."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crypto_core.values.errors import CredentialsExpiredError
from tests.screens.deck import LARGE, deck
from tests.screens.samples import ACCOUNT
from tests.screens.stage import Stage


@pytest.mark.parametrize("start", ["status", "connections", "keys"])
async def test_every_screen_says_where_it_works(start: str) -> None:
    async with deck(start=start, size=LARGE) as d:
        words = d.lines()[0].split()
    assert words[:-1] == [
        *("keydeck", "prod", "●", ACCOUNT, "eu-west-1", "role/oncall/ana", "db", "tokens@pg-1"),
        *("as", "keydeck", "now"),
    ]
    assert words[-1] in ("↻30s", "↻60s")


async def test_a_wide_terminal_also_says_what_is_written_under_which_alias_with_which_profile() -> None:
    stage = Stage()
    stage.place = replace(stage.place, profile="prod-admin", write_key_alias="alias/tokens")
    async with deck(stage, size=(180, 40)) as d:
        assert "profile prod-admin" in d.lines()[0]
        assert "writes v1 under tokens" in d.lines()[0]


@pytest.mark.parametrize("colour", ["red", "amber", "green", "blue", "magenta"])
async def test_production_has_a_ground_of_its_own_behind_its_word(colour: str) -> None:
    stage = Stage()
    stage.place = replace(stage.place, environment_colour=colour)
    async with deck(stage) as d:
        line = d.app.screen._compositor.render_strips()[0]
        grounds = {s.text.strip(): s.style.bgcolor for s in line if s.style is not None}
        assert grounds["prod"] != grounds["keydeck"]


async def test_a_narrow_terminal_keeps_account_region_and_database() -> None:
    async with deck(Stage(read_only=True)) as d:
        first = d.lines()[0]
    assert "[RO]" in first
    assert ACCOUNT in first
    assert "db tokens@pg-1" in first


async def test_a_side_that_does_not_answer_is_named_in_the_header_of_every_screen() -> None:
    stage = Stage()
    stage.place = replace(
        stage.place, database_trouble="no answer for 12 s", aws_trouble="the session expired"
    )
    async with deck(stage) as d:
        for key in ("1", "2", "3"):
            await d.press(key)
            assert "prod ✖" in d.lines()[0]
            assert "✖ database: no answer for 12 s" in d.lines()[1]
            assert "✖ AWS: the session expired" in d.lines()[2]


async def test_not_even_knowing_where_it_works_is_trouble_with_a_remedy() -> None:
    async with deck(Stage(faults={"surroundings": CredentialsExpiredError("The session expired.")})) as d:
        assert "The session expired. Renew it" in d.text()


async def test_surroundings_that_hang_leave_the_rest_usable() -> None:
    stage = Stage()
    stage.hold("surroundings")
    async with deck(stage) as d:
        assert "looking around…" in d.lines()[0]
        assert "✖ 5 problems" in d.text()
        await d.press("2")
        assert "1,200 tokens" in d.text()


async def test_an_answer_that_the_place_is_as_before_has_nothing_painted() -> None:
    async with deck() as d:
        painted: list[None] = []
        d.app.facts.subscribe(d.app.screen, painted.append)
        for _ in range(3):
            d.app.facts.ask_surroundings()
            await d.tick(5)
        assert painted == []
        d.stage.place = replace(d.stage.place, database_trouble="no answer for 12 s")
        d.app.facts.ask_surroundings()
        await d.tick(0)
        assert len(painted) == 1
        assert "no answer for 12 s" in d.lines()[1]


async def test_ages_grow_on_a_screen_that_is_paused() -> None:
    async with deck(start="keys", size=LARGE) as d:
        await d.press("p")
        before = d.line_with("alias/tokens")
        for _ in range(16):
            d.app.facts.ask_surroundings()
            await d.tick(10)
        assert "12 s ago" in before
        assert "min ago" in d.line_with("alias/tokens")

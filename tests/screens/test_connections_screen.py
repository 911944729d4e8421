"""Connections: which tokens, in what state?"""

from __future__ import annotations

from dataclasses import replace

import pytest

from crypto_core.database.tokens.inventory import InventoryRow
from crypto_core.values.clean_text import clean
from screens.connections import detail
from screens.connections.detail import TokenDetail
from screens.connections.screen import ConnectionsScreen
from tests.screens.deck import LARGE, Deck, deck
from tests.screens.many_rows import many
from tests.screens.stage import Stage


def rows(d: Deck) -> list[InventoryRow]:
    assert isinstance(d.app.screen, ConnectionsScreen)
    return list(d.app.screen.pane.feed.window.rows)


async def test_the_worst_tokens_come_first() -> None:
    async with deck(start="connections") as d:
        assert "✖" in d.lines()[4]
        assert "plaintext" in d.lines()[4]


async def test_the_title_says_how_many_pass_the_filter_and_how_they_are_sorted() -> None:
    async with deck(start="connections") as d:
        assert "1 of 1,200 tokens   sort: state ↓" in d.lines()[1]
        await d.filter("provider:slack")
        assert "Connections › provider:slack" in d.lines()[1]
        assert "1 of 180 tokens   sort: state ↓" in d.lines()[1]


async def test_tokens_are_counted_by_what_they_have_in_common_and_a_group_leads_to_its_own() -> None:
    stage = Stage()
    stage.rows[-1] = replace(stage.rows[-1], organisation=clean("[/red]\x1b[31mevil"))
    async with deck(stage, start="connections", size=LARGE) as d:
        assert "82.8 % protected   ✖ 190 plaintext  ✖ 7 dev" in d.lines()[2]
        await d.filter("provider:github OR provider:slack")
        assert "78.8 % protected" in d.lines()[2]
        await d.press("b")
        assert "By organisation" in d.lines()[1]
        assert "[/red]" not in d.text()
        first = d.cursor_line().split()
        await d.press("enter")
        assert "(provider:github OR provider:slack) org" in d.lines()[1]
        assert f"1 of {first[1]} tokens" in d.lines()[1]
        await d.press("escape", "b", "b")
        assert "By key" in d.lines()[1]
        assert "alias/tokens …9f2c" in d.text()
        while "no KMS key" not in d.cursor_line():
            await d.press("down")
        tokens = next(word for word in d.cursor_line().split() if word.isdigit())
        await d.press("enter")
        assert f"1 of {tokens} tokens" in d.lines()[1]
        await d.press("escape", "escape", "escape")
        await d.command("group nothing")
        assert "Group by org, provider, key, format." in d.toasts()[-1]
        await d.command("group org")
        assert "[/red][31mevil" in d.text()


async def test_escape_in_the_filter_leaves_the_list_as_it_was() -> None:
    async with deck(start="connections") as d:
        await d.press("slash")
        await d.type("provider:slack")
        await d.press("escape")
        assert "1,200 tokens" in d.lines()[1]
        assert d.app.focused is d.table


@pytest.mark.deep
async def test_s_sorts_by_the_column_under_the_cursor_then_reverses_then_lets_go() -> None:
    async with deck(start="connections", size=LARGE) as d:
        for column in ("token reference", "org", "provider", "format", "key · material", "evidence", "age"):
            seen = []
            for _ in range(3):
                await d.press("s")
                seen.append(d.lines()[1].split("sort: ")[1].strip())
            assert seen == [f"{column} ↑", f"{column} ↓", "state ↓"]
            await d.press("right")


async def test_capital_s_reverses() -> None:
    async with deck(start="connections") as d:
        await d.press("s", "S")
        assert "sort: token reference ↓" in d.lines()[1]
        assert "slack_connection.bot_token:99" in d.lines()[4]


@pytest.mark.deep
async def test_a_command_sorts_by_any_column_and_says_which_there_are() -> None:
    async with deck(start="connections") as d:
        await d.command("sort org desc")
        assert "sort: org ↓" in d.lines()[1]
        assert rows(d)[0].organisation == "umbrella"
        await d.command("sort nothing")
        assert "Can't sort by nothing. Columns: reference, org, provider" in d.toasts()[-1]
        assert "sort: org ↓" in d.lines()[1]


@pytest.mark.parametrize(
    ("width", "headings"),
    [
        (60, ["token", "reference", "format", "›"]),
        (80, ["token", "reference", "org", "format", "key", "·", "material", "›"]),
        (120, ["token", "reference", "org", "provider", "format", "key", "·", "material", "evidence", "age"]),
    ],
)
async def test_a_narrow_terminal_drops_columns_that_matter_less(width: int, headings: list[str]) -> None:
    async with deck(start="connections", size=(width, 24)) as d:
        assert d.lines()[3].split()[1:] == headings


async def test_a_long_reference_keeps_its_end() -> None:
    async with deck(start="connections") as d:
        assert d.cursor_line()[3:].split()[0].endswith(".access_token:10")


@pytest.mark.deep
async def test_materials_go_by_number_and_keys_by_alias() -> None:
    async with deck(start="connections", size=LARGE) as d:
        await d.filter("provider:github format:v1")
        assert "tokens · 2" in d.line_with("access_token:gh-0 ")
        assert "tokens · 3" in d.line_with("access_token:gh-1 ")
        assert "tokens-old · 1" in d.line_with("access_token:gh-103 ")


async def test_the_terminal_can_be_resized_at_any_moment() -> None:
    async with deck(start="connections", size=LARGE) as d:
        await d.press("end")
        for width, height in ((60, 12), (30, 6), (200, 60), (80, 24)):
            await d.pilot.resize_terminal(width, height)
            await d.settle()
            assert len(d.lines()) == height
        assert "›" in d.cursor_line()


async def test_an_envelope_is_read_though_the_cursor_had_not_quite_rested_when_it_was_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with deck(start="connections") as d:
        looks = 0

        def nearly() -> float:
            nonlocal looks
            looks += 1
            # The cursor moved at 0; the first look is a nanosecond too early.
            return {1: 0.0, 2: detail.REST_SECONDS - 1e-9}.get(looks, detail.REST_SECONDS)

        monkeypatch.setattr(detail, "monotonic", nearly)
        before = d.stage.calls.count("inspect")
        await d.press("down")
        assert d.stage.calls.count("inspect") == before + 1
        assert looks > 2


async def test_a_line_of_the_detail_that_is_too_long_goes_on_below() -> None:
    stage = Stage(rows=many(3))
    stage.rows[1] = replace(stage.rows[1], shown=(("scopes", "read " * 26 + "the-last-one"),))
    async with deck(stage, start="connections", size=LARGE) as d:
        below = d.app.screen.query_one(TokenDetail)
        assert below.styles.text_wrap == "nowrap"
        await d.press("down")
        assert below.styles.text_wrap == "wrap"
        assert any("the-last-one" in line for line in d.lines())
        await d.pilot.resize_terminal(170, 40)
        await d.settle()
        assert below.styles.text_wrap == "nowrap"

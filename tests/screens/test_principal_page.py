"""A principal's blast radius: tokens that it opened, and apart from them what it could have opened."""

from __future__ import annotations

import pytest

from crypto_core.lists.coverage import Coverage
from crypto_core.values.errors import DatabaseUnreachableError, EventStoreError
from screens.connections.screen import ConnectionsScreen
from screens.events.event_screen import EventScreen
from screens.events.pivot_screen import PivotScreen
from screens.events.screen import EventsScreen
from screens.principals import PrincipalScreen
from screens.widgets.line_list import LineList
from tests.crypto_core.trail import records
from tests.screens.deck import LARGE, SMALL, Deck, deck
from tests.screens.hostile import EACH_TEXT_AND_SIZE, assert_harmless
from tests.screens.sample_events import event
from tests.screens.stage import Stage
from tests.screens.test_hostile_events import hostile
from tests.screens.test_token_timeline import go_to, shown, there


async def page_of(d: Deck, expression: str) -> None:
    await d.filter(expression)
    await d.press("T")
    assert isinstance(d.app.screen, PrincipalScreen)


async def test_what_it_opened_is_told_token_by_token() -> None:
    async with deck(there(), start="events", size=LARGE) as d:
        await page_of(d, "principal:*intruder*")
        assert "Principal › user/intruder" in d.lines()[1]
        assert "4, failed 3, denied 3" in d.line_with("events   ")
        assert "1 token, each named by its records" in d.line_with("opened   ")
        assert "Possible" not in d.text()
        await go_to(d, "gh_connection.access_token:gh-3")
        await d.press("enter")
        expression, events = shown(d)
        assert 'token:"gh_connection.access_token:gh-3"' in expression
        assert "intruder" in expression
        assert events == 1


@pytest.mark.deep
async def test_what_it_could_have_opened_is_told_at_most_by_material_and_marked_as_possible() -> None:
    async with deck(there(), start="events", size=LARGE) as d:
        await page_of(d, "principal:*platform")
        assert "at most 141 of 762 tokens in reach, by 141 calls" in d.line_with("possible   ")
        assert "Possible, never certain: at most 141 of 762 tokens in reach" in d.text()
        assert d.line_with("alias/tokens …9f2c · 3").lstrip().startswith("?")
        assert "and 60 v1 tokens whose key is not known" in d.text()
        await go_to(d, "? alias/tokens …9f2c · 3")
        assert "It may have opened any of them; none is proven." in d.text()
        await d.press("enter")
        assert isinstance(d.app.screen, ConnectionsScreen)
        assert "of 762 tokens" in d.lines()[1]


@pytest.mark.quick(2)
@pytest.mark.parametrize(
    ("words", "events"),
    [("events   ", 241), ("possible   ", 141), ("opened   ", 60), ("AWS Internal", 40), ("api-1", 241)],
)
async def test_each_line_leads_to_the_events_that_it_counts(words: str, events: int) -> None:
    async with deck(there(), start="events", size=(120, 60)) as d:
        await page_of(d, "principal:*platform")
        await go_to(d, words)
        await d.press("enter")
        shown(d)
        assert d.pane.feed.count == events


@pytest.mark.deep
async def test_events_pages_and_pivots_lead_there_too() -> None:
    async with deck(there(), start="events", size=LARGE) as d:
        await d.filter("principal:*intruder*")
        await d.press("enter", "T")
        assert isinstance(d.app.screen, PrincipalScreen)
        await d.press("escape")
        assert isinstance(d.app.screen, EventScreen)
        await go_to(d, "principal   ")
        await d.press("enter")
        assert isinstance(d.app.screen, PrincipalScreen)
        await d.press("escape", "escape", "v")
        screen = d.app.screen
        assert isinstance(screen, PivotScreen)
        await d.until(lambda: not screen.freshness[1])
        assert "T: what it opened and could have opened." in d.text()
        await d.press("T")
        assert isinstance(d.app.screen, PrincipalScreen)
        assert "user/intruder" in d.lines()[1]


@pytest.mark.deep
async def test_in_pivots_only_a_principal_has_such_a_page() -> None:
    async with deck(there(), start="events", size=LARGE) as d:
        await d.press("v")
        screen = d.app.screen
        assert isinstance(screen, PivotScreen)
        await d.until(lambda: not screen.freshness[1])
        await d.press("G", "T")
        assert d.app.screen is screen


@pytest.mark.deep
async def test_where_tokens_cant_be_counted_that_is_said_and_the_facts_stay() -> None:
    stage = there()
    stage.faults["status"] = DatabaseUnreachableError("No connection to pg-1:5432.")
    async with deck(stage, start="events", size=LARGE) as d:
        await page_of(d, "principal:*platform")
        assert "The tokens in reach are not counted" in d.text()
        assert "of tokens that could not be counted" in d.line_with("possible   ")
        assert "7 tokens, each named by its records" in d.text()
        assert " ? " in d.line_with("alias/tokens …9f2c · 3").rsplit("141", 1)[1]


@pytest.mark.deep
async def test_gaps_and_trouble_are_shown() -> None:
    stage = there()
    stage.event_use.covered = Coverage(("eu-west-1: not fetched from 08:00 to 09:00.",))
    async with deck(stage, start="events", size=LARGE) as d:
        await page_of(d, "principal:*intruder*")
        assert "▲ not covered: eu-west-1: not fetched from 08:00 to 09:00." in d.text()
        stage.faults["use.principal"] = EventStoreError("The store is damaged.")
        await d.press("r")
        assert "✖ The store is damaged." in d.text()
        assert "1 token, each named by its records" in d.text()


@pytest.mark.deep
async def test_thousands_of_tokens_are_listed_and_only_those_in_sight_are_painted() -> None:
    stage = Stage()
    stage.events.add(
        [event(n, ago=n, context=records.context(f"gh-{n}"), who=records.user()) for n in range(1_200)]
    )
    async with deck(stage, start="events", size=SMALL) as d:
        await page_of(d, "principal:*intruder*")
        assert "1,200 tokens" in d.line_with("opened   ")
        lines = d.app.screen.query_one(LineList)
        assert lines.line_count() > 1_000
        written = lines._lines
        await d.press(*["pagedown"] * 5, "G", "home")
        assert lines._lines is written
        await go_to(d, "opened   ")
        await d.press("enter")
        assert isinstance(d.app.screen, EventsScreen)
        assert d.pane.feed.count == 1_200


@pytest.mark.deep
async def test_what_is_not_told_token_by_token_is_counted_and_leads_to_its_events() -> None:
    stage = Stage()
    stage.events.add(
        [event(n, ago=n, context=records.context(f"gh-{n}"), who=records.user()) for n in range(1_200)]
    )
    async with deck(stage, start="events", size=SMALL) as d:
        await page_of(d, "principal:*intruder*")
        found = [line.content.plain for line in d.app.screen.query_one(LineList)._lines]
        assert any("… and 200 more, with 200 events" in line for line in found)


@pytest.mark.deep
@EACH_TEXT_AND_SIZE
async def test_hostile_principals_are_inert(text: str, size: tuple[int, int]) -> None:
    stage = Stage()
    stage.events.add([hostile(n, text) for n in range(3)])
    stage.events.add([hostile(10 + n, text, errorCode=None) for n in range(3)])
    stage.event_use.covered = Coverage((text,))
    async with deck(stage, start="events", size=size) as d:
        await page_of(d, "*")
        for key in (*["down"] * 12, "G", "enter", "escape", "question_mark", "escape"):
            await d.press(key)
            assert_harmless(d, size)

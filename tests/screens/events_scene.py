"""Events on the stage, and what their screen shows of them."""

from __future__ import annotations

from crypto_core.trail.event import TrailEvent
from screens.events.pivot_screen import PivotScreen
from screens.events.screen import EventsScreen
from tests.screens.deck import Deck
from tests.screens.sample_events import a_day
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
    while d.table.columns.current.title != heading:
        await d.press("right")


async def counted(d: Deck) -> None:
    """Wait until the pivots are there."""
    screen = d.app.screen
    assert isinstance(screen, PivotScreen)
    await d.until(lambda: not screen.freshness[1])

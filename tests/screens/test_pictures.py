"""How the screens look, at 80×24 and 120×40, dark and light."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from crypto_core.incidents.model import IncidentScope, IncidentState
from crypto_core.incidents.steps.step_contracts import InputField
from crypto_core.values.errors import DatabaseUnreachableError
from screens.main_screen import MainScreen
from screens.memory import Memory
from tests.left_out import CAPABILITIES, needs
from tests.screens.deck import LARGE, SMALL, Deck, deck
from tests.screens.sample_events import a_day
from tests.screens.sample_runbooks import TOKEN_COMPROMISE
from tests.screens.samples import CURRENT, NOW, sample_log
from tests.screens.stage import Stage
from tests.screens.stage_incidents import approval, incident_view, key_compromise
from tests.screens.test_context import places

pytestmark = needs(*CAPABILITIES)
DARK = "keydeck-dark"
LIGHT = "keydeck-light"
VAST = (250, 60)
SCREENS = ("status", "connections", "keys", "findings")
NUMBERS = {"status": "1", "connections": "2", "keys": "3", "events": "4", "findings": "7"}

Looks = Mapping[str, tuple[tuple[int, int], str]]
FOUR_LOOKS: Looks = {
    "small": (SMALL, DARK),
    "large": (LARGE, DARK),
    "large-light": (LARGE, LIGHT),
    "small-light": (SMALL, LIGHT),
}
TWO_LOOKS: Looks = {"large": (LARGE, DARK), "light": (SMALL, LIGHT)}


@dataclass
class Album:
    """Pictures of one console, each compared with the one that was approved under its name."""

    d: Deck
    picture: SnapshotAssertion
    differing: list[str] = field(default_factory=list)

    def compare(self, name: str) -> None:
        if self.d.app.export_screenshot() != self.picture(name=name):
            self.differing.append(name)

    async def take(self, looks: Looks, page: str = "") -> None:
        """Compare what the console shows now in each of these looks, called "large-page" or so.

        If the console has the last look already, that is the first.
        """
        order = list(looks.items())
        if order[-1][1] == (self.d.app.size, self.d.app.theme):
            order.reverse()
        for name, look in order:
            await self.look(*look)
            self.compare(f"{name}-{page}" if page else name)

    async def look(self, size: tuple[int, int], theme: str) -> None:
        self.d.app.theme = theme
        if self.d.app.size != size:
            await self.d.pilot.resize_terminal(*size)
        await self.d.settle()


def assert_none_differs(differing: list[str]) -> None:
    assert not differing, f"Not as approved: {', '.join(differing)}"


@asynccontextmanager
async def album(picture: SnapshotAssertion, stage: Stage | None = None, **more: Any) -> AsyncIterator[Album]:
    """A console to take pictures of; all those that differ are named in the end. `more` goes to the deck."""
    async with deck(stage, **more) as d:
        taken = Album(d, picture)
        yield taken
    assert_none_differs(taken.differing)


async def test_main_screens(picture: SnapshotAssertion) -> None:
    differing: list[str] = []
    small: Looks = {"small": (SMALL, DARK), "light": (SMALL, LIGHT)}
    for size, looks in ((SMALL, small), (LARGE, {"large": (LARGE, DARK)})):
        async with deck(size=size) as d:
            a = Album(d, picture, differing)
            for screen in SCREENS:
                await d.press(NUMBERS[screen])
                await a.take(looks, screen)
    assert_none_differs(differing)


async def test_status_large_and_light(picture: SnapshotAssertion) -> None:
    async with deck(size=LARGE, theme=LIGHT) as d:
        assert d.app.export_screenshot() == picture


async def test_one_key(picture: SnapshotAssertion) -> None:
    async with album(picture, start="keys") as a:
        for page, key in (("key", "enter"), ("policy", "P")):
            await a.d.press(key)
            await a.take(TWO_LOOKS, page)
            await a.d.press("escape")


@pytest.mark.deep
async def test_a_change_of_a_key(picture: SnapshotAssertion) -> None:
    differing: list[str] = []
    for look, (size, theme) in TWO_LOOKS.items():
        async with deck(start="keys", size=size, theme=theme) as d:
            a = Album(d, picture, differing)
            await d.press("N")
            a.compare(f"{look}-new key")
            await d.press("escape", "d")
            a.compare(f"{look}-preview")
            await d.type("alias/tokens")
            await d.press("enter")
            a.compare(f"{look}-result")
    assert_none_differs(differing)


async def test_a_manual_rotation(picture: SnapshotAssertion) -> None:
    async with album(picture, start="keys") as a:
        await a.d.command("replace alias/tokens-2")
        await a.take(TWO_LOOKS)


async def test_rewrap_asks_before_it_writes(picture: SnapshotAssertion) -> None:
    async with deck(start="connections") as d:
        await d.filter("provider:jira")
        await d.press("space", "space", "w", "enter")
        assert d.app.export_screenshot() == picture


async def test_a_fault_in_the_filter(picture: SnapshotAssertion) -> None:
    async with deck(Stage(read_only=True), start="connections") as d:
        await d.filter("provider:jira nope:1")
        assert d.app.export_screenshot() == picture


async def test_help(picture: SnapshotAssertion) -> None:
    async with deck() as d:
        await d.press("question_mark")
        assert d.app.export_screenshot() == picture


async def test_trouble(picture: SnapshotAssertion) -> None:
    stage = Stage()
    stage.place = replace(stage.place, database_trouble="no answer for 12 s")
    async with deck(stage) as d:
        d.stage.faults["status"] = DatabaseUnreachableError("No connection to pg-1:5432.")
        await d.press("r")
        assert d.app.export_screenshot() == picture


@pytest.mark.deep
async def test_other_themes(picture: SnapshotAssertion) -> None:
    async with album(picture, start="connections") as a:
        await a.d.press("space", "space")
        for theme in ("keydeck-contrast", "keydeck-colour-blind", "ansi-dark", "ansi-light"):
            await a.look(SMALL, theme)
            a.compare(theme)


@pytest.mark.deep
async def test_a_very_wide_terminal(picture: SnapshotAssertion) -> None:
    async with album(picture, size=VAST) as a:
        for screen in SCREENS:
            await a.d.press(NUMBERS[screen])
            a.compare(screen)
        for page, keys in {"one list": "1", "by key": "2bbb"}.items():
            await a.d.press(*keys)
            a.compare(page)


async def test_a_command_being_typed(picture: SnapshotAssertion) -> None:
    async with deck(start="connections", size=LARGE) as d:
        await d.press("colon")
        await d.type("so")
        assert d.app.export_screenshot() == picture


async def test_choosing_columns(picture: SnapshotAssertion) -> None:
    async with deck(start="connections") as d:
        await d.press("o")
        assert d.app.export_screenshot() == picture


async def test_exporting(picture: SnapshotAssertion) -> None:
    async with deck(start="connections") as d:
        await d.press("E")
        assert d.app.export_screenshot() == picture


async def test_saved_filters(picture: SnapshotAssertion) -> None:
    memory = Memory()
    memory.save_filter("connections", "unprotected", "format:plaintext,dev")
    memory.save_filter("connections", "slack", "provider:slack")
    async with deck(start="connections", memory=memory) as d:
        await d.filter("provider:jira")
        await d.press("F")
        assert d.app.export_screenshot() == picture


async def test_the_log(picture: SnapshotAssertion) -> None:
    async with deck(start="log", log=sample_log(), size=LARGE) as d:
        assert d.app.export_screenshot() == picture


@pytest.mark.deep
async def test_events(picture: SnapshotAssertion) -> None:
    stage = Stage()
    stage.events.add(a_day())
    async with album(picture, stage, start="events") as a:
        await answered(a.d)
        await a.take(FOUR_LOOKS, "list")
        await a.d.press("v")
        await a.take(FOUR_LOOKS, "pivots")
        await a.d.press("escape", "enter")
        await answered(a.d)
        await a.take(FOUR_LOOKS, "event")
        await a.d.press("escape")
        await a.d.filter("denied")
        await a.d.press("down", "m")
        await answered(a.d)
        await a.take(FOUR_LOOKS, "denied")


async def answered(d: Deck) -> None:
    screen = d.app.screen
    assert isinstance(screen, MainScreen)
    await d.until(lambda: not screen.freshness[1])


async def test_no_events_yet(picture: SnapshotAssertion) -> None:
    async with deck(start="events") as d:
        assert d.app.export_screenshot() == picture


USE = {
    "exact timeline": ("connections", "id:gh-2 format:v2"),
    "possible timeline": ("connections", "format:v1 evidence:verified"),
    "unsealed timeline": ("connections", "format:plaintext"),
    "intruder": ("events", "principal:*intruder*"),
    "platform": ("events", "principal:*platform"),
    "key": ("keys", "alias/tokens"),
}


@pytest.mark.deep
async def test_use(picture: SnapshotAssertion) -> None:
    stage = Stage()
    stage.events.add(a_day())
    async with album(picture, stage) as a:
        for page, (start, expression) in USE.items():
            await a.d.press(NUMBERS[start])
            await a.d.filter(expression)
            await a.d.press("T")
            await a.take(FOUR_LOOKS, page)
            await a.d.press("escape")


JOBS = {
    "list": (),
    "page": ("enter",),
    "unwritten": ("down", "enter"),
    "cancel": ("escape", "escape", "x"),
    "restore": ("escape", "down", "U"),
    "which tokens": ("escape", "up", "n"),
    "which verb": ("down", "enter"),
    "plan": ("down", "enter", "enter"),
    "work here": ("escape", "w"),
    "leave": ("right", "enter", "q"),
}
"""Of each page: the keys that lead there from the one before."""
LOSES = "role/backup decrypts under alias/tokens-old by statement Backups; nothing lets it under alias/tokens"


@pytest.mark.deep
async def test_jobs(picture: SnapshotAssertion) -> None:
    stage = Stage()
    stage.jobs.losses = (LOSES,)
    async with album(picture, stage, start="jobs") as a:
        for page, keys in JOBS.items():
            await a.d.press(*keys)
            await a.take(TWO_LOOKS, page)


async def test_choosing_where_to_work(picture: SnapshotAssertion) -> None:
    async with deck(places(archive=Stage()), size=LARGE) as d:
        await d.press("c")
        assert d.app.export_screenshot() == picture


async def test_production_and_expired_credentials(picture: SnapshotAssertion) -> None:
    stage = Stage()
    stage.place = replace(
        stage.place,
        environment_colour="red",
        profile="prod-oncall",
        aws_trouble="The AWS session has expired.",
        credentials_remedy="aws sso login --profile prod-oncall",
    )
    async with deck(stage, size=LARGE) as d:
        assert d.app.export_screenshot() == picture


INCIDENTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "fields": ("light", ("enter", "a")),
    "decide": ("light", ("escape", "H", "enter")),
    "plan": ("large", ("escape", "escape", "a", "tab", "right", "enter")),
    "evidence": ("large", ("escape", "e")),
    "declare": ("large", ("escape", "escape", "n", "enter", "enter")),
}
"""Of each page: its look, and the keys that lead there from the one before."""


def stage_for_pictures() -> Stage:
    """An open key compromise, a closed incident, a request and a drill that is due."""
    stage = Stage()
    scope = IncidentScope(references=("slack_connection.bot_token:17",))
    closed = incident_view(
        6,
        TOKEN_COMPROMISE,
        scope,
        title="Slack token in a log",
        state=IncidentState.CLOSED,
        declared_at=NOW - timedelta(days=41),
        closed_at=NOW - timedelta(days=40),
        closed_by="ben",
        outcome="revoked and replaced within 20 minutes",
    )
    stage.incidents.add(key_compromise(), closed)
    stage.incidents.due = "The last restore drill was 120 days ago; one is due every 90 days."
    stage.approvals.add(approval())
    stage.incidents.needs["reencrypt"] = (
        InputField(
            "target", "Under which key?", CURRENT, ((CURRENT, "alias/tokens …9f2c"), ("x", "another"))
        ),
        InputField("rate", "KMS calls a second at most", "5,000"),
    )
    return stage


@pytest.mark.deep
async def test_incidents(picture: SnapshotAssertion) -> None:
    async with album(picture, stage_for_pictures(), start="incidents") as a:
        await a.d.press("enter")
        await a.take(FOUR_LOOKS, "page")
        await a.d.press("escape")
        await a.take(FOUR_LOOKS, "list")


@pytest.mark.deep
async def test_what_is_done_with_incidents(picture: SnapshotAssertion) -> None:
    async with album(picture, stage_for_pictures(), start="incidents") as a:
        for page, (look, keys) in INCIDENTS.items():
            await a.d.press(*keys)
            await a.look(*TWO_LOOKS[look])
            a.compare(page)


async def test_no_incident_yet(picture: SnapshotAssertion) -> None:
    async with deck(start="incidents") as d:
        assert d.app.export_screenshot() == picture


async def test_a_step_that_is_late(picture: SnapshotAssertion) -> None:
    view = key_compromise()
    steps = tuple(
        replace(step, begun_at=NOW - timedelta(minutes=42)) if step.step.id == "reencrypt" else step
        for step in view.steps
    )
    stage = Stage()
    stage.incidents.add(replace(view, steps=steps))
    async with deck(stage, start="incidents", size=LARGE) as d:
        await d.press("enter")
        assert d.app.export_screenshot() == picture

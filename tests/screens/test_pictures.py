"""How the screens look, at 80×24 and 120×40, dark and light."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from syrupy.assertion import SnapshotAssertion

from crypto_core.errors import DatabaseUnreachableError
from crypto_core.incidents.doing import InputField
from crypto_core.incidents.model import IncidentState, Scope
from screens.main_screen import MainScreen
from screens.memory import Memory
from tests.screens.deck import LARGE, SMALL, deck
from tests.screens.sample_events import a_day
from tests.screens.samples import CURRENT, NOW, sample_log
from tests.screens.stage import Stage
from tests.screens.stage_incidents import TOKEN_COMPROMISE, approval, incident_view, key_compromise
from tests.screens.test_context import places

DARK = "keydeck-dark"
LIGHT = "keydeck-light"
SCREENS = ("status", "connections", "keys", "findings")
VAST = (250, 60)


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize(
    ("size", "theme"), [(SMALL, DARK), (LARGE, DARK), (SMALL, LIGHT)], ids=["small", "large", "light"]
)
async def test_main_screens(
    picture: SnapshotAssertion, screen: str, size: tuple[int, int], theme: str
) -> None:
    async with deck(start=screen, size=size, theme=theme) as d:
        assert d.app.export_screenshot() == picture


async def test_status_large_and_light(picture: SnapshotAssertion) -> None:
    async with deck(size=LARGE, theme=LIGHT) as d:
        assert d.app.export_screenshot() == picture


@pytest.mark.parametrize("page", ["key", "policy"])
@pytest.mark.parametrize(("size", "theme"), [(LARGE, DARK), (SMALL, LIGHT)], ids=["large", "light"])
async def test_one_key(picture: SnapshotAssertion, page: str, size: tuple[int, int], theme: str) -> None:
    async with deck(start="keys", size=size, theme=theme) as d:
        await d.press("enter" if page == "key" else "P")
        assert d.app.export_screenshot() == picture


@pytest.mark.parametrize("step", ["preview", "result", "new key"])
@pytest.mark.parametrize(("size", "theme"), [(LARGE, DARK), (SMALL, LIGHT)], ids=["large", "light"])
async def test_a_change_of_a_key(
    picture: SnapshotAssertion, step: str, size: tuple[int, int], theme: str
) -> None:
    async with deck(start="keys", size=size, theme=theme) as d:
        await d.press("N" if step == "new key" else "d")
        if step == "result":
            await d.type("alias/tokens")
            await d.press("enter")
        assert d.app.export_screenshot() == picture


@pytest.mark.parametrize(("size", "theme"), [(LARGE, DARK), (SMALL, LIGHT)], ids=["large", "light"])
async def test_a_manual_rotation(picture: SnapshotAssertion, size: tuple[int, int], theme: str) -> None:
    async with deck(start="keys", size=size, theme=theme) as d:
        await d.command("replace alias/tokens-2")
        assert d.app.export_screenshot() == picture


async def test_rewrap_asks_before_it_writes(picture: SnapshotAssertion) -> None:
    async with deck(start="connections") as d:
        await d.press("slash")
        await d.type("provider:jira")
        await d.press("enter", "space", "space", "w", "enter")
        assert d.app.export_screenshot() == picture


async def test_a_fault_in_the_filter(picture: SnapshotAssertion) -> None:
    async with deck(Stage(read_only=True), start="connections") as d:
        await d.press("slash")
        await d.type("provider:jira nope:1")
        await d.press("enter")
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


@pytest.mark.parametrize("theme", ["keydeck-contrast", "keydeck-colour-blind", "ansi-dark", "ansi-light"])
async def test_other_themes(picture: SnapshotAssertion, theme: str) -> None:
    async with deck(start="connections", theme=theme) as d:
        await d.press("space", "space")
        assert d.app.export_screenshot() == picture


@pytest.mark.parametrize("screen", SCREENS)
async def test_a_very_wide_terminal(picture: SnapshotAssertion, screen: str) -> None:
    async with deck(start=screen, size=VAST) as d:
        assert d.app.export_screenshot() == picture


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
        await d.press("slash")
        await d.type("provider:jira")
        await d.press("enter", "F")
        assert d.app.export_screenshot() == picture


async def test_the_log(picture: SnapshotAssertion) -> None:
    async with deck(start="log", log=sample_log(), size=LARGE) as d:
        assert d.app.export_screenshot() == picture


EVENTS = {
    "list": (),
    "pivots": ("v",),
    "event": ("enter",),
    "denied": ("slash", "ctrl+u", *"denied", "enter", "down", "m"),
}


@pytest.mark.parametrize("page", EVENTS)
@pytest.mark.parametrize(
    ("size", "theme"),
    [(SMALL, DARK), (LARGE, DARK), (SMALL, LIGHT), (LARGE, LIGHT)],
    ids=["small", "large", "small-light", "large-light"],
)
async def test_events(picture: SnapshotAssertion, page: str, size: tuple[int, int], theme: str) -> None:
    stage = Stage()
    stage.events.add(a_day())
    async with deck(stage, start="events", size=size, theme=theme) as d:
        await d.press(*EVENTS[page])
        screen = d.app.screen
        await d.until(lambda: not isinstance(screen, MainScreen) or not screen.freshness[1])
        assert d.app.export_screenshot() == picture


async def test_no_events_yet(picture: SnapshotAssertion) -> None:
    async with deck(start="events") as d:
        assert d.app.export_screenshot() == picture


USE = {
    "exact timeline": ("connections", "id:gh-2 format:v2", ("T",)),
    "possible timeline": ("connections", "format:v1 evidence:verified", ("T",)),
    "unsealed timeline": ("connections", "format:plaintext", ("T",)),
    "intruder": ("events", "principal:*intruder*", ("T",)),
    "platform": ("events", "principal:*platform", ("T",)),
    "key": ("keys", "alias/tokens", ("T",)),
    "watch": ("keys", "alias/tokens", ("colon", *"watch", "space", *"1h", "enter")),
    "quiet watch": ("keys", "alias/tokens-old", ("colon", *"watch", "space", *"7d", "enter")),
}


@pytest.mark.parametrize("page", USE)
@pytest.mark.parametrize(
    ("size", "theme"),
    [(SMALL, DARK), (LARGE, DARK), (SMALL, LIGHT), (LARGE, LIGHT)],
    ids=["small", "large", "small-light", "large-light"],
)
async def test_use(picture: SnapshotAssertion, page: str, size: tuple[int, int], theme: str) -> None:
    start, expression, keys = USE[page]
    stage = Stage()
    stage.events.add(a_day())
    async with deck(stage, start=start, size=size, theme=theme) as d:
        await d.filter(expression)
        await d.press(*keys)
        assert d.app.export_screenshot() == picture


JOBS = {
    "list": (),
    "page": ("enter",),
    "cancel": ("x",),
    "unwritten": ("enter", "down", "enter"),
    "work here": ("w",),
    "leave": ("w", "right", "enter", "q"),
    "restore": ("down", "U"),
    "which tokens": ("n",),
    "which verb": ("n", "down", "enter"),
    "plan": ("n", "down", "enter", "down", "enter", "enter"),
}
LOSES = "role/backup decrypts under alias/tokens-old by statement Backups; nothing lets it under alias/tokens"


@pytest.mark.parametrize("page", JOBS)
@pytest.mark.parametrize(("size", "theme"), [(LARGE, DARK), (SMALL, LIGHT)], ids=["large", "light"])
async def test_jobs(picture: SnapshotAssertion, page: str, size: tuple[int, int], theme: str) -> None:
    stage = Stage()
    stage.jobs.losses = (LOSES,) if page == "plan" else ()
    async with deck(stage, start="jobs", size=size, theme=theme) as d:
        await d.press(*JOBS[page])
        assert d.app.export_screenshot() == picture


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
        credentials_expired=True,
        credentials_remedy="aws sso login --profile prod-oncall",
    )
    async with deck(stage, size=LARGE) as d:
        assert d.app.export_screenshot() == picture


INCIDENTS: dict[str, tuple[str, ...]] = {
    "list": ("escape",),
    "page": (),
    "plan": ("a", "tab", "right", "enter"),
    "fields": ("a",),
    "declare": ("escape", "n", "enter", "enter"),
    "evidence": ("e",),
    "decide": ("H", "enter"),
}
LOOKS = pytest.mark.parametrize(
    ("size", "theme"),
    [(SMALL, DARK), (LARGE, DARK), (SMALL, LIGHT), (LARGE, LIGHT)],
    ids=["small", "large", "small-light", "large-light"],
)


def stage_for_pictures() -> Stage:
    """An open key compromise, a closed incident, a request and a drill that is due."""
    stage = Stage()
    scope = Scope(references=("slack_connection.bot_token:17",))
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


@pytest.mark.parametrize("page", ["list", "page"])
@LOOKS
async def test_incidents(picture: SnapshotAssertion, page: str, size: tuple[int, int], theme: str) -> None:
    async with deck(stage_for_pictures(), start="incidents", size=size, theme=theme) as d:
        await d.press("enter", *INCIDENTS[page])
        assert d.app.export_screenshot() == picture


@pytest.mark.parametrize("page", ["plan", "fields", "declare", "evidence", "decide"])
async def test_what_is_done_with_incidents(picture: SnapshotAssertion, page: str) -> None:
    size, theme = (SMALL, LIGHT) if page in ("fields", "decide") else (LARGE, DARK)
    async with deck(stage_for_pictures(), start="incidents", size=size, theme=theme) as d:
        await d.press("enter", *INCIDENTS[page])
        assert d.app.export_screenshot() == picture


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

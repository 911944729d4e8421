"""How the screens look, at 80×24 and 120×40, dark and light."""

from __future__ import annotations

from dataclasses import replace

import pytest
from syrupy.assertion import SnapshotAssertion

from crypto_core.errors import DatabaseUnreachableError
from tests.screens.deck import LARGE, SMALL, deck
from tests.screens.stage import Stage

DARK = "keydeck-dark"
LIGHT = "keydeck-light"
SCREENS = ("status", "connections", "keys")


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


async def test_one_key(picture: SnapshotAssertion) -> None:
    async with deck(start="keys") as d:
        await d.press("enter")
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

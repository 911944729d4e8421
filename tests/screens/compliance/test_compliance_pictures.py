"""How the screen of compliance looks, at 80×24 and 120×40, dark and light."""

from __future__ import annotations

from syrupy.assertion import SnapshotAssertion

from tests.screens.deck import LARGE, SMALL
from tests.screens.test_pictures import DARK, LIGHT, Looks, album


async def test_compliance(picture: SnapshotAssertion) -> None:
    looks: Looks = {"small": (SMALL, DARK), "large": (LARGE, DARK), "large-light": (LARGE, LIGHT)}
    async with album(picture, start="compliance", size=LARGE) as a:
        await a.d.press("N", "N", *["left"] * 4)
        await a.take(looks, "map")
        await a.d.press("enter")
        await a.take({"large": (LARGE, DARK)}, "day")

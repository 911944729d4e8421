"""Compliance over the sandbox: what is measured before there is a record, then a record and its evidence."""

from __future__ import annotations

from console.container import Container
from screens.compliance.heat_map import HeatMap
from tests.console.test_flows import console


async def test_a_record_that_is_made_on_the_screen_is_shown_with_its_evidence(services: Container) -> None:
    async with console(services, start="compliance") as d:
        await d.until(lambda: "as measured now" in d.text())
        assert "No record yet: keydeck evidence record makes one" in d.text()
        before = dict(_states(d.app.screen.query_one(HeatMap)))
        await d.press("m")
        await d.until(lambda: "Make record 1" in d.text())
        await d.press("tab", "enter")
        await d.until(lambda: "▲ Not signed: no signing key is configured" in d.text())
        await d.press("escape")
        await d.until(lambda: "1 of them not signed" in d.text())
        assert dict(_states(d.app.screen.query_one(HeatMap))) == before
        await d.press("enter")
        await d.until(lambda: "the first record" in d.text())
        made = services.record_book.last()
        assert made is not None
        assert made.digest.hex() in d.text()
        await d.press("escape", "o")
        await d.until(lambda: "Nobody tried a restore in this period." in d.text())
        assert "1 record not signed: 1. Set KEYDECK_SIGNING_KEY." in d.text()


def _states(shown: HeatMap) -> list[tuple[str, str]]:
    return [(row.control.id, row.latest.value) for row in shown.rows if hasattr(row, "latest")]

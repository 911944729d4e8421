"""Compliance over the sandbox: what is measured before there is a record, then a record and its evidence."""

from __future__ import annotations

import pytest

from console.container import Container
from crypto_core.compliance.assessment import assess
from crypto_core.compliance.period.open_points import open_points
from screens.compliance.grid import ControlRow
from screens.compliance.heat_map import HeatMap
from screens.control_signs import ControlState, control_state
from tests.console.test_shell import console
from tests.screens.deck import Deck


@pytest.mark.deep
async def test_a_record_that_is_made_is_shown_with_its_evidence(services: Container) -> None:
    async with console(services.services, start="compliance") as d:
        await d.until(lambda: "as measured now" in d.text())
        assert "No record yet: keydeck evidence record makes one" in d.text()
        assert _states(d)["pci-3.5.1"] is ControlState.NOT_MET
        made = services.evidence_recorder.record_day().record
        await d.press("r")
        await d.until(lambda: "the chain is whole; 1 record not signed" in d.text())
        judged = assess(services.controls.read(), made.snapshot).judgements
        assert _states(d) == {
            one.control.id: control_state(one.status, asked=bool(one.control.tests)) for one in judged
        }
        await d.press("enter")
        await d.until(lambda: "the first record" in d.text())
        assert made.digest.hex() in d.text()
        await d.press("escape", "o")
        await d.until(lambda: "open points" in d.text())
        told = {one.what for one in open_points(services.periods.of(made.day, made.day))}
        assert "1 record not signed: 1. Set KEYDECK_SIGNING_KEY." in told
        assert "Not met since" in d.text()


def _states(d: Deck) -> dict[str, ControlState]:
    rows = d.app.screen.query_one(HeatMap).rows
    return {row.control.id: row.latest for row in rows if isinstance(row, ControlRow)}

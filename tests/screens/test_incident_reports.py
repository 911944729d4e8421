"""An incident's evidence, timeline and reports: how they are read, written and named."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.widgets import Input

from crypto_core.values.errors import DatabaseUnreachableError, EvidenceError
from screens.incidents.evidence_screen import EvidenceListScreen, EvidenceScreen
from screens.incidents.incident_screen import IncidentScreen
from screens.incidents.timeline_screen import IncidentTimelineScreen
from tests.screens.deck import LARGE, deck
from tests.screens.incident_scene import staged


@pytest.mark.deep
async def test_evidence_is_listed_by_step_and_read_with_its_hash() -> None:
    async with deck(staged(), start="incidents", size=LARGE) as d:
        await d.press("enter", "e")
        assert isinstance(d.app.screen, EvidenceListScreen)
        piece = d.stage.incidents.views[7].evidence[0]
        assert piece.title in d.cursor_line()
        assert piece.sha256[:6] in d.cursor_line()
        assert piece.sha256[-6:] in d.cursor_line()
        await d.press("y")
        assert piece.sha256 == d.app.clipboard
        await d.press("enter")
        assert isinstance(d.app.screen, EvidenceScreen)
        assert piece.sha256 in d.text()
        assert '"sid": "Admin",' in d.text()
        while '"sid": "Admin"' not in d.cursor_line():
            await d.press("down")
        assert "y copies: Admin" in d.text()
        await d.press("y")
        assert d.app.clipboard == "Admin"
        d.stage.faults["incident.evidence"] = EvidenceError("Evidence 1 is not what it was captured as.")
        await d.press("r")
        assert "Evidence 1 is not what it was captured as." in d.text()
        await d.press("escape", "escape")
        assert isinstance(d.app.screen, IncidentScreen)


async def test_the_timeline_tells_who_did_what_the_newest_first() -> None:
    async with deck(staged(), start="incidents") as d:
        await d.press("enter", "T")
        assert isinstance(d.app.screen, IncidentTimelineScreen)
        times = [line.split()[0] for line in d.lines() if " ana " in line or " ben " in line]
        assert times == sorted(times, reverse=True)
        assert "ben" in d.line_with("step 4: Switch the platform: done")


@pytest.mark.quick(1)
@pytest.mark.parametrize(("ending", "form"), [(".md", "markdown"), (".json", "json"), (".html", "html")])
async def test_the_report_has_the_form_that_its_name_says(tmp_path: Path, ending: str, form: str) -> None:
    async with deck(staged(), start="incidents") as d:
        path = tmp_path / f"inc{ending}"
        await d.press("enter")
        await d.command(f"report {path}")
        await d.press("enter")
        assert path.read_text().startswith(form)
        assert "Only you may read it." in d.says()


@pytest.mark.deep
async def test_a_name_without_an_ending_is_that_of_every_form(tmp_path: Path) -> None:
    async with deck(staged(), start="incidents") as d:
        await d.press("enter")
        await d.command(f"report {tmp_path / 'inc'}")
        await d.press("enter")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["inc.html", "inc.json", "inc.md"]
        assert (tmp_path / "inc.md").read_text().startswith("markdown")
        assert "inc.json" in d.says()


@pytest.mark.deep
async def test_a_report_overwrites_nothing_and_leaves_nothing_of_one_that_failed(tmp_path: Path) -> None:
    async with deck(staged(), start="incidents") as d:
        there = tmp_path / "there.html"
        there.write_text("mine")
        await d.press("enter")
        await d.command(f"report {there}")
        await d.press("enter")
        assert "already exists" in d.says()
        assert there.read_text() == "mine"
        line = d.app.screen.query_one("#path", Input)
        line.value = str(tmp_path / "report.txt")
        await d.press("enter")
        assert "must end in .html, .md or .json" in d.says()
        d.stage.faults["incident.report"] = DatabaseUnreachableError("No connection to pg-1:5432.")
        line.value = str(tmp_path / "new.md")
        await d.press("enter")
        assert "No connection to pg-1:5432." in d.says()
        assert [path.name for path in tmp_path.iterdir()] == ["there.html"]


async def test_choosing_a_form_changes_how_the_name_ends() -> None:
    async with deck(staged(), start="incidents") as d:
        await d.press("enter", "E", "shift+tab", "down", "enter")
        assert d.app.screen.query_one("#path", Input).value == "keydeck-INC-7-20260701-1200.md"

"""The runbook restore-drill, played on screen to the written report."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import Engine, make_url, text

from console.application.context import ConsoleContexts
from console.container import Container
from console.sandbox.provider_tokens import MARKER
from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World
from console.settings import load
from crypto_core.database.connection.engine import open_engine
from crypto_core.incidents.model import IncidentState
from screens.incidents.choices import ChooseAnswer
from screens.incidents.declare import DeclareDialog
from screens.incidents.incident_screen import IncidentScreen
from screens.incidents.step_dialog import StepDialog
from screens.widgets.line_list import LineList
from tests.console.incident_flows.operation import (
    agree,
    console,
    dialog,
    ended,
    page,
    patiently,
    said,
    view,
    write_reports,
)
from tests.screens.deck import Deck


@pytest.fixture
def restored(sandbox: Sandbox, world: World, superuser: Engine) -> Iterator[str]:
    """URL of a restored copy of the database, in which every token opens."""
    name = f"restored_{uuid4().hex[:12]}"
    url = make_url(sandbox.superuser_url)
    admin = open_engine(url.set(database="postgres").render_as_string(hide_password=False))
    with admin.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name} TEMPLATE tokens"))
        copy = open_engine(url.set(database=name).render_as_string(hide_password=False))
        with copy.begin() as inside:
            for ref in (*world.corrupt, *world.dev_refs):
                inside.execute(text(f"DELETE FROM {ref.table} WHERE id::text = :id"), {"id": ref.row_id})
        copy.dispose()
        yield make_url(sandbox.database_url).set(database=name).render_as_string(hide_password=False)
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


async def declare_drill(deck: Deck, runbook: str, database: str) -> None:
    await deck.press("n")
    await dialog(deck, DeclareDialog, "#choices")
    await patiently(deck, lambda: runbook in deck.text())
    await choose(deck, runbook)
    await patiently(deck, lambda: "Which database?" in deck.says())
    assert "default" not in deck.text()
    await choose(deck, database)
    await deck.press("enter")
    await patiently(deck, lambda: isinstance(deck.app.screen, IncidentScreen) and page(deck).view)


async def choose(deck: Deck, words: str) -> None:
    choices = deck.app.screen.query_one("#choices", LineList)
    await patiently(deck, lambda: any(words in line.content.plain for line in choices.written))
    while choices.current is None or words not in choices.current.content.plain:
        await deck.press("down")
    await deck.press("enter")


@pytest.mark.deep
async def test_a_restore_drill_is_played_to_the_report_and_the_reminder_goes(
    services: Container,
    world: World,
    restored: str,
    environment: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = tmp_path / "settings.toml"
    # In use under another name is in use all the same.
    settings.write_text(f'[databases]\nnightly = "{restored}"\nlive = "{environment["DATABASE_URL"]}"\n')
    settings.chmod(0o600)
    runbooks = tmp_path / "runbooks"
    runbooks.mkdir()
    drill = (resources.files("crypto_core.incidents.runbooks") / "builtin" / "restore-drill.toml").read_text(
        "utf-8"
    )
    for old, new in (
        ("restore-drill", "sample-drill"),
        ("Restore drill", "Sample drill"),
        ("sample = 0", "sample = 30"),
    ):
        assert old in drill
        drill = drill.replace(old, new, 1)
    (runbooks / "sample-drill.toml").write_text(drill, "utf-8")
    monkeypatch.setenv("KEYDECK_SETTINGS", str(settings))
    monkeypatch.setenv("KEYDECK_RUNBOOKS", str(runbooks))
    contexts = ConsoleContexts(load().settings)
    async with console(contexts.services, start="incidents") as deck:
        await patiently(deck, lambda: "No restore drill is on record" in deck.text())
        await declare_drill(deck, "Restore drill", "live")
        await deck.press("enter")
        await patiently(deck, lambda: "This is the database in use, not a restored one." in said(deck))
        assert view(deck).current.step.id == "restore"
        await deck.press("escape")

        for runbook, opened in (("Sample drill", "30 tokens"), ("Restore drill", "")):
            await declare_drill(deck, runbook, "nightly")
            await deck.press("enter")
            await ended(deck, "restore")
            await deck.press("enter")
            await dialog(deck, StepDialog, "#confirm")
            assert f"Opens {opened}" in deck.says()
            await agree(deck)
            await ended(deck, "verify")
            if runbook == "Sample drill":
                await deck.press("escape")
        await deck.press("enter")
        await ended(deck, "census")
        await deck.press("enter")
        await ended(deck, "record")
        await deck.press("enter")
        await dialog(deck, ChooseAnswer)
        await deck.press("up", "enter")  # from the safe answer to: yes
        await ended(deck, "well")
        await deck.press("enter")
        await patiently(deck, lambda: view(deck).current is None and page(deck).view.current is None)
        await deck.press("enter")
        await deck.type("All of it opened.")
        await deck.press("enter")
        await patiently(deck, lambda: view(deck).incident.state is IncidentState.CLOSED)
        reports = await write_reports(deck, tmp_path)
        work = deck.facts.services.incidents
        played = view(deck)
        contents = {e.kind: json.loads(work.evidence(played.incident.id, e.id)) for e in played.evidence}
        await deck.press("escape")
        assert work.drill_due() == ""
        await patiently(deck, lambda: "No restore drill is on record" not in deck.text())
    contexts.close()
    verified, census = contents["verification"], contents["census"]
    whole = len(world.tokens) - len({*world.corrupt, *world.dev_refs})
    assert (verified["result"], verified["database"], verified["not_opened"]) == ("passed", "nightly", 0)
    assert verified["tried"] == census["tokens"]
    assert whole - census["tokens"] in range(len(world.corrupt) + len(world.dev_refs) + 1)
    assert verified["seconds"] > 0
    for ending, report in reports.items():
        for told in ("All of it opened.", "nightly"):
            assert told in report, ending
        assert MARKER not in report

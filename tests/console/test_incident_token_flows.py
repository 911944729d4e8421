"""The runbooks token-compromise and restore-drill, played on screen from the start to the written report."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, make_url, text
from textual.events import Paste
from textual.widgets import Button, Input, Static

from console.app import KeydeckApp
from console.context import ConsoleContexts
from console.logfile import logging_to
from console.memory_file import remembered
from console.sandbox import access_keys
from console.sandbox.endpoint import PastCall
from console.sandbox.provider_tokens import MARKER, Style, issue
from console.sandbox.sandbox import Sandbox
from console.sandbox.traffic import INTRUDER_ADDRESS
from console.sandbox.world import World
from console.settings import load
from console.wiring import Wired, wire
from crypto_core.cipher import TokenCipher
from crypto_core.database.engine import open_engine
from crypto_core.encryption_context import encryption_context
from crypto_core.envelope import Format, classify
from crypto_core.errors import ApprovalNeededError
from crypto_core.incidents.model import IncidentState, IncidentView, Scope, StepState
from crypto_core.providers.answers import Liveness
from crypto_core.providers.asking import ask
from crypto_core.providers.messages import Target
from crypto_core.providers.transport import Clock, Transport
from crypto_core.references import TokenRef
from crypto_core.secret import Secret
from screens.incidents.approval_dialogs import ApprovalNeeded, DecideDialog
from screens.incidents.approvals_screen import ApprovalsScreen
from screens.incidents.choose_answer import ChooseAnswer
from screens.incidents.declare import DeclareDialog
from screens.incidents.evidence_screen import EvidenceListScreen, EvidenceScreen
from screens.incidents.incident_screen import IncidentScreen
from screens.incidents.inputs import Choice, InputsForm
from screens.incidents.report_dialog import ReportDialog
from screens.incidents.running import runs_of
from screens.incidents.step_dialog import StepDialog
from screens.incidents.step_pane import StepPane
from screens.widgets.line_list import LineList
from screens.widgets.secret_input import SecretInput
from tests.screens.deck import LARGE, Deck
from tests.screens.stage import Stage
from tests.screens.test_token_timeline import go_to

Stored = Callable[[TokenRef], str]
ANA, BEN = "ASIATESTOFINCIDENTSA", "ASIATESTOFINCIDENTSB"


class Watched(Deck):
    """A console on which certain texts must never be seen; looked for after every key."""

    unseen: Sequence[str] = ()

    async def settle(self) -> None:
        """Come to rest, and look at the screen."""
        await super().settle()
        shown = self.text()
        assert not [canary for canary in self.unseen if canary in shown]


@asynccontextmanager
async def console(services: Any, *, start: str, **more: Any) -> AsyncIterator[Watched]:
    """The console over services, at rest on its first screen."""
    app = KeydeckApp(services, start_screen=start, **more)
    async with app.run_test(size=LARGE, notifications=True) as pilot:
        deck = Watched(app, pilot, Stage())
        await deck.settle()
        yield deck


@pytest.fixture(autouse=True)
def providers(sandbox: Sandbox, environment: dict[str, str]) -> Iterator[None]:
    """Every token is alive at its provider, before and after."""
    sandbox.providers.clear()
    sandbox.control.set_lookup_throttle(None)
    yield
    sandbox.providers.clear()


def page(deck: Deck) -> IncidentScreen:
    screen = deck.app.screen
    assert isinstance(screen, IncidentScreen), deck.text()
    return screen


def view(deck: Deck) -> IncidentView:
    """Where the incident on screen stands, as the database has it."""
    number = next(s.incident for s in deck.app.screen_stack if isinstance(s, IncidentScreen))
    work = deck.facts.services.incidents
    assert work is not None
    return work.show(number)


def said(deck: Deck) -> str:
    """What the step says, in one line."""
    step = page(deck).query_one(StepPane).query_one("#step", Static)
    return " ".join(str(step.content).split())


async def ended(deck: Deck, step: str, state: StepState = StepState.DONE) -> None:
    """Wait until a step has ended and the page is at another one."""

    def there() -> bool:
        screen = deck.app.screen
        if not isinstance(screen, IncidentScreen) or screen.view is None:
            return False
        at = screen.step_in_hand
        return screen.view.step(step).state is state and (at is None or at.step.id != step)

    await patiently(deck, there)


async def patiently(deck: Deck, there: Callable[[], object]) -> None:
    """Wait for something; what the screen shows is told where it does not come."""
    try:
        await deck.until(lambda: bool(there()))
    except TimeoutError:
        raise AssertionError(deck.text()) from None


async def dialog(deck: Deck, kind: type, has: str = "") -> Any:
    """Wait for a dialog, and for a widget in it."""
    await patiently(
        deck, lambda: isinstance(deck.app.screen, kind) and (not has or deck.app.screen.query(has))
    )
    return deck.app.screen


async def at_rest(deck: Deck) -> None:
    """Wait until nothing is under way for any step."""
    await patiently(
        deck, lambda: isinstance(deck.app.screen, IncidentScreen) and not runs_of(deck.facts).running
    )


async def paste(deck: Deck, words: str) -> None:
    deck.app.post_message(Paste(words))
    await deck.settle()


async def enter_token(deck: Deck, ref: TokenRef, token: str) -> StepDialog:
    """Choose a row, paste a token, and look at the plan."""
    await deck.press("enter")
    shown: StepDialog = await dialog(deck, StepDialog, "InputsForm")
    rows = shown.query_one("#field-0", LineList)
    for _ in range(len(rows.written)):
        target = rows.current.target if rows.current is not None else None
        if isinstance(target, Choice) and target.value == str(ref):
            break
        await deck.press("down")
    assert rows.current is not None
    assert rows.current.target == Choice("reference", str(ref)), deck.text()
    if rows.has_focus:  # where one row is left there is nothing to choose
        await deck.press("enter")
    await paste(deck, f"  {token} ")
    assert isinstance(deck.app.focused, SecretInput)
    assert "•" * 10 in deck.text()
    await deck.press("enter", "enter")
    await dialog(deck, StepDialog, "#confirm")
    assert not shown.query(InputsForm)
    return shown


async def agree(deck: Deck, typed: str = "") -> None:
    """Agree to the plan on screen as it demands."""
    confirm = deck.app.screen.query_one("#confirm", Button)
    if typed:
        await deck.type(typed)
        await deck.press("enter")
    else:
        confirm.focus()
        await deck.press("enter")
    await at_rest(deck)


def written_down(superuser: Engine, folder: Path) -> dict[str, str]:
    """All that Keydeck has written: its schema's tables, and every file."""
    found = {}
    with superuser.connect() as connection:
        names = connection.scalars(text("SELECT tablename FROM pg_tables WHERE schemaname = 'keydeck'")).all()
        for name in names:
            rows = connection.scalars(text(f"SELECT t::text FROM keydeck.{name} t"))
            found[f"keydeck.{name}"] = "\n".join(rows)
    for file in folder.rglob("*"):
        if file.is_file():
            found[file.name] = file.read_bytes().decode("latin-1")
    return found


def put(platform: Engine, ref: TokenRef, stored: str) -> None:
    """Write a stored value, as the platform does."""
    with platform.begin() as connection:
        connection.execute(
            text(f"UPDATE {ref.table} SET {ref.column} = :stored WHERE id::text = :id"),
            {"stored": stored, "id": ref.row_id},
        )


def provider_says(sandbox: Sandbox, ref: TokenRef, token: str) -> Liveness:
    """Ask the sandbox's provider about a token."""
    provider = {"gh_connection": "github", "slack_connection": "slack", "jira_connection": "jira"}[ref.table]
    base = f"{sandbox.endpoint_url}/_providers/{'atlassian' if provider == 'jira' else provider}"
    with Transport(Clock()) as transport:
        return ask(transport, Target(ref, provider, base), Secret.of(token)).liveness


async def write_reports(deck: Deck, folder: Path) -> dict[str, str]:
    """Write the report in each form, chosen by hand; returns the texts by their endings."""
    number = view(deck).incident.id
    for downs in range(3):
        await deck.press("E")
        shown = await dialog(deck, ReportDialog)
        shown.query_one("#forms").focus()
        await deck.press(*["down"] * downs, "enter", "enter")
        await patiently(deck, lambda: "Only you may read it." in deck.says())
        await deck.press("enter")
    files = {file.suffix: file for file in folder.glob(f"keydeck-INC-{number}-*")}
    assert set(files) == {".html", ".md", ".json"}
    assert {file.stat().st_mode & 0o777 for file in files.values()} == {0o600}
    return {ending: file.read_text("utf-8") for ending, file in files.items()}


def leaked(world: World) -> dict[str, TokenRef]:
    """Tokens that leak: GitHub's in v1 and (to be) v2, one of Slack in plaintext, one of Jira."""
    sealed = world.sealed_under(world.current_key)
    gh = [r for r in sealed if world.tokens[r].style is Style.GITHUB_USER]
    return {
        "v1": gh[0],
        "v2": gh[1],
        "slack": next(r for r in world.plaintext_refs if r.table == "slack_connection"),
        "jira": next(r for r in sealed if world.tokens[r].style is Style.ATLASSIAN_OAUTH),
    }


@pytest.mark.deep
async def test_a_token_compromise_is_played_from_marked_rows_to_the_report(
    sandbox: Sandbox,
    services: Wired,
    world: World,
    superuser: Engine,
    platform: Engine,
    stored: Stored,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KEYDECK_LOG_FILE", str(tmp_path / "keydeck.log"))
    refs = leaked(world)
    old = {name: world.token_for(ref) for name, ref in refs.items()}
    fresh = {name: issue(world.tokens[ref].style, 4711, str(ref)) for name, ref in refs.items()}
    dead, theirs = (issue(Style.GITHUB_USER, 4712, name) for name in ("dead", "theirs"))
    for token in (*fresh.values(), theirs):
        sandbox.providers.issue(token)
    sandbox.providers.revoke(dead)
    v2 = TokenCipher(services.keyring, write_format=Format.V2)
    put(platform, refs["v2"], v2.encrypt(old["v2"], ref=refs["v2"]).stored)
    opened = PastCall(
        time=datetime.now(UTC) - timedelta(minutes=20),
        access_key_id=access_keys.INTRUDER,
        operation="Decrypt",
        key_id=world.current_key.arn,
        source_ip=INTRUDER_ADDRESS,
        encryption_context=encryption_context(refs["v2"]),
    )
    sandbox.control.history([opened])
    services.event_puller.pull(since=datetime.now(UTC) - timedelta(hours=1))

    memory = remembered(tmp_path / "console.json")
    with logging_to(load().settings) as log:
        async with console(services.services, start="connections", memory=memory, log=log) as deck:
            deck.unseen = (*old.values(), *fresh.values(), dead, theirs)
            # Marked where they were seen.
            for ref in refs.values():
                await deck.filter(f"table:{ref.table} column:{ref.column} id:{ref.row_id}")
                assert "1 of 1 token" in deck.text()
                await deck.press("space")
            await deck.press("I")
            await dialog(deck, DeclareDialog, "#choices")
            await patiently(deck, lambda: "Suspected token compromise" in deck.text())
            await deck.press("enter")
            await deck.press("tab")
            await deck.type("1h")
            await deck.press("enter")
            await patiently(deck, lambda: isinstance(deck.app.screen, IncidentScreen) and page(deck).view)
            assert set(view(deck).incident.scope.references) == set(map(str, refs.values()))

            await deck.press("enter")
            await ended(deck, "scope")
            await deck.press("enter")
            await ended(deck, "evidence")

            # What GitHub's audit log is asked for is there to be read and copied, and is no token.
            await deck.press("e")
            assert isinstance(deck.app.screen, EvidenceListScreen)
            await go_to(deck, "Audit log queries (hashed-query) of 2 tokens")
            await deck.press("enter")
            assert isinstance(deck.app.screen, EvidenceScreen)
            await go_to(deck, "hashed_token")
            await deck.press("y")
            digest = base64.b64encode(hashlib.sha256(old["v1"].encode()).digest()).decode()
            assert deck.app.clipboard == f'hashed_token:"{digest}"'
            assert deck.app.clipboard in deck.cursor_line()
            await deck.press("escape")
            await go_to(deck, "Blast radius: 2 principals opened them, ")
            await deck.press("enter")
            await patiently(deck, lambda: "user/intruder" in deck.text())
            blast = next(e for e in view(deck).evidence if e.kind == "blast-radius")
            work = deck.facts.services.incidents
            assert work is not None
            radius = json.loads(work.evidence(1, blast.id))
            # Keydeck's own opening of the tokens, to mark them, was fetched with what the intruder did.
            opened = [one["principal"].rpartition("/")[2] for one in radius["opened"]]
            assert sorted(opened) == ["intruder", "keydeck-oncall"]
            assert any("Keydeck opens the tokens to mark them" in said for said in radius["statements"])
            await deck.press("escape")
            await deck.press("escape")

            # Revocation: hosts and numbers first, and only for the number typed.
            await deck.press("enter")
            shown = await dialog(deck, StepDialog, "#confirm")
            plan = " ".join(deck.says().split())
            for told in (
                "github: revokes 2 tokens in 1 request",
                "slack: revokes 1 token in 1 request",
                f"{sandbox.endpoint_url}/_providers/github",
                f"{sandbox.endpoint_url}/_providers/slack",
                f"{refs['jira']} (jira), by hand",
            ):
                assert told in plan
            await deck.type("4")
            await deck.press("enter")
            assert deck.app.screen is shown
            assert shown.query_one("#confirm", Button).disabled
            assert not [call for call in sandbox.providers.calls() if "revoke" in call.path]
            await deck.press("backspace")
            await agree(deck, "3")
            assert "github: 2 tokens, revocation accepted of 2, proved dead 2" in said(deck)
            assert said(deck).count("slack: 1 token, revocation accepted of 1, proved dead 1") == 1
            hosts = {(c.provider, c.path): c.tokens for c in sandbox.providers.calls() if "revoke" in c.path}
            assert hosts == {("github", "/credentials/revoke"): 2, ("slack", "/api/auth.revoke"): 1}
            await deck.until(lambda: "f: end the step as it is." in deck.text())
            await deck.press("f")
            await ended(deck, "revoke")

            # Jira's by hand; before that it isn't proved, after that it is.
            await deck.press("enter")
            await dialog(deck, StepDialog, "#confirm")
            await agree(deck)
            await patiently(deck, lambda: "3 of 4 tokens dead, 1 alive, 0 not known" in said(deck))
            sandbox.providers.revoke(old["jira"])
            await deck.press("a")
            await dialog(deck, StepDialog, "#confirm")
            await agree(deck)
            await ended(deck, "dead")

            # A dead token is refused, a live one is written; what the platform writes meanwhile stays.
            before = stored(refs["v1"])
            await enter_token(deck, refs["v1"], dead)
            await agree(deck)
            await patiently(deck, lambda: "dead" in said(deck) and "✖" in said(deck))
            assert stored(refs["v1"]) == before
            await enter_token(deck, refs["v1"], fresh["v1"])
            await agree(deck)
            assert "1 of 4 rows in scope hold a new token" in said(deck)
            await enter_token(deck, refs["v2"], fresh["v2"])
            platforms = v2.encrypt(theirs, ref=refs["v2"]).stored
            put(platform, refs["v2"], platforms)
            await agree(deck)
            assert "✖" in said(deck), deck.text()
            assert stored(refs["v2"]) == platforms
            await enter_token(deck, refs["slack"], fresh["slack"])
            # The old one is plaintext, which is not kept: that takes the row's name.
            typed = deck.app.screen.query_one("#typed", Input).placeholder
            await agree(deck, typed.removeprefix("Type ").removesuffix(" to go on"))
            await enter_token(deck, refs["jira"], fresh["jira"])
            await agree(deck)
            await ended(deck, "enter")

            await deck.press("enter")
            await ended(deck, "access")
            await deck.press("enter")
            await dialog(deck, ChooseAnswer)
            await deck.press("enter")
            await ended(deck, "key")
            assert {s.state for s in view(deck).steps if s.step.only_if} == {StepState.NOT_NEEDED}
            await deck.press("enter")
            await patiently(deck, lambda: view(deck).current is None and page(deck).view.current is None)
            await deck.press("enter")
            await deck.type("Nobody can use the old tokens.")
            await deck.press("enter")
            await patiently(deck, lambda: view(deck).incident.state is IncidentState.CLOSED)
            reports = await write_reports(deck, tmp_path)

    for ending, report in reports.items():
        for told in ("Suspected token compromise", "Nobody can use the old tokens."):
            assert told in report, ending
    told = json.loads(reports[".json"])
    assert str(refs["jira"]) in json.dumps(told)
    opener = TokenCipher(services.keyring)
    entered = {**fresh, "v2": theirs}
    formats = {"v1": Format.V1, "v2": Format.V2, "slack": Format.V1, "jira": Format.V1}
    for name, ref in refs.items():
        envelope = stored(ref)
        assert classify(envelope).format is formats[name]
        assert opener.decrypt(envelope, ref=ref).reveal() == entered[name]
        for token, liveness in ((entered[name], Liveness.ALIVE), (old[name], Liveness.DEAD)):
            assert provider_says(sandbox, ref, token) is liveness
    written = written_down(superuser, tmp_path)
    assert {"keydeck.log", "console.json", "keydeck.journal", "keydeck.incident_evidence"} <= set(written)
    for where, content in written.items():
        for canary in (*deck.unseen, MARKER):
            assert canary not in content, where
    assert not services.checkpoints.verify(kept=()).problems


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
    """Start a drill from the list of incidents."""
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
    """Choose the line that says something in the dialog's list."""
    choices = deck.app.screen.query_one("#choices", LineList)
    await patiently(deck, lambda: any(words in line.content.plain for line in choices.written))
    while choices.current is None or words not in choices.current.content.plain:
        await deck.press("down")
    await deck.press("enter")


async def test_a_restore_drill_is_played_to_the_report_and_the_reminder_goes(
    services: Wired,
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
    drill = (resources.files("crypto_core.incidents") / "builtin" / "restore-drill.toml").read_text("utf-8")
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
        await deck.press("enter")
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


async def decide(deck: Deck) -> str:
    """Approve what waits on the page of approvals; returns what was shown of it."""
    assert isinstance(deck.app.screen, ApprovalsScreen)
    await patiently(deck, lambda: "revoke-tokens" in deck.text())
    await go_to(deck, "revoke-tokens")
    await deck.press("enter")
    await dialog(deck, DecideDialog)
    plan = deck.says()
    deck.app.screen.query_one("#approve", Button).focus()
    await deck.press("enter")
    return plan


@pytest.mark.deep
async def test_a_second_console_approves_a_revocation_and_a_third_only_reads(
    sandbox: Sandbox,
    services: Wired,
    world: World,
    stored: Stored,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    credentials = tmp_path / "credentials"
    for key, name in ((ANA, "ana"), (BEN, "ben")):
        sandbox.control.add_principal(key, "keydeck-oncall", "role", name)
        with credentials.open("a") as file:
            file.write(f"[{name}]\naws_access_key_id = {key}\naws_secret_access_key = x\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(credentials))
    monkeypatch.setenv("KEYDECK_APPROVALS", "revoke")
    refs = leaked(world)
    refs = {name: refs[name] for name in ("v1", "slack")}
    ana, ben, reader = (
        wire(load({"profile": name, "read_only": read_only}).settings)
        for name, read_only in (("ana", False), ("ben", False), ("ana", True))
    )
    number = ana.services.incidents.declare(
        "token-compromise", Scope(references=tuple(map(str, refs.values())))
    )
    for step in ("scope", "evidence"):
        ana.services.incidents.skip(number, step, "Not what this is about.")

    async def approve() -> str:
        """What Ben sees and does on his console."""
        async with console(ben.services, start="incidents") as deck:
            await patiently(deck, lambda: "1 request for approval" in deck.text())
            await deck.press("H")
            assert isinstance(deck.app.screen, ApprovalsScreen)
            plan = await decide(deck)
            await patiently(
                deck, lambda: isinstance(deck.app.screen, ApprovalsScreen) and "approved" in deck.text()
            )
            return plan

    async with console(ana.services, start="incidents") as deck:
        await deck.press("enter")
        await patiently(deck, lambda: page(deck).view and page(deck).step_in_hand)
        await deck.press("enter")
        await dialog(deck, StepDialog, "#confirm")
        await deck.type("2")
        await deck.press("enter")
        await dialog(deck, ApprovalNeeded)
        waits = " ".join(deck.says().split())
        assert "this needs the approval of a second person. Nothing was done" in waits
        assert "Somebody other than arn:aws:sts::123456789012:assumed-role/keydeck-oncall/ana runs:" in waits
        assert "Or in their console, not in yours: 5, then H." in waits
        await deck.press("enter")
        assert "Waits for a second identity" in said(deck)

        # Ana can't be her own second person.
        await deck.press("H")
        await decide(deck)
        await patiently(deck, lambda: any("nobody approves their own" in toast for toast in deck.toasts()))
        await deck.press("escape")

        plan = await asyncio.to_thread(asyncio.run, approve())
        for told in ("Revoke 2 tokens at the source", *map(str, refs.values()), "keydeck-oncall/ana"):
            assert told in plan
        await patiently(deck, lambda: "Approved by ben" in said(deck))
        assert not [call for call in sandbox.providers.calls() if "revoke" in call.path]
        await deck.press("enter")
        await dialog(deck, StepDialog, "#confirm")
        await agree(deck, "2")
        await ended(deck, "revoke")
        for ref in refs.values():
            assert provider_says(sandbox, ref, world.token_for(ref)) is Liveness.DEAD
        await deck.press("H")
        await patiently(deck, lambda: "✔ incident revoke-tokens" in deck.text())
        assert "used" in deck.line_with("✔ incident revoke-tokens")
    (used,) = ana.approvals.requests(pending=False)
    with pytest.raises(ApprovalNeededError):
        ana.approvals.require(used.action, used.summary, used.digest, used.plan)

    # Who may only read sees all of it, and changes nothing.
    assert ana.services.incidents is not None
    before = ana.services.incidents.show(number)
    entries = len(ana.journal.entries())
    async with console(reader.services, start="incidents") as deck:
        assert "[RO]" in deck.text()
        await deck.press("n")
        assert not isinstance(deck.app.screen, DeclareDialog)
        await deck.press("enter")
        await patiently(deck, lambda: page(deck).view and page(deck).step_in_hand)
        assert "Revoke by hand what is left, and prove every token dead" in said(deck)
        assert "3 Revoke the tokens" in deck.text()
        for key in ("enter", "a", "d", "f", "s", "n", "x", "C", "o", "up", "o", "C"):
            await deck.press(key)
            assert isinstance(deck.app.screen, IncidentScreen), key
        assert "proved dead 1" not in said(deck)
        assert "What providers said of 2 tokens" in said(deck)
        await deck.press("e")
        await go_to(deck, "What providers said of 2 tokens")
        await deck.press("enter")
        await patiently(deck, lambda: '"liveness": "dead"' in deck.text())
    assert ana.services.incidents.show(number) == before
    assert len(ana.journal.entries()) == entries
    for wired in (ana, ben, reader):
        wired.close()

"""The runbook token-compromise, played on screen from marked rows to the written report."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from textual.events import Paste
from textual.widgets import Button, Input

from console.capabilities import not_installed
from console.container import Container
from console.files.logfile import logging_to
from console.files.memory_file import remembered
from console.sandbox import access_keys
from console.sandbox.audit_logs import ATLASSIAN_ORG, AUDIT_TOKEN
from console.sandbox.endpoint import PastCall
from console.sandbox.provider_tokens import MARKER, Style, issue
from console.sandbox.sandbox import Sandbox
from console.sandbox.traffic import INTRUDER_ADDRESS
from console.sandbox.world import World
from console.settings import load
from crypto_core.envelope import Format, classify
from crypto_core.envelope.encryption_context import encryption_context
from crypto_core.incidents.model import IncidentState, StepState
from crypto_core.keyring.cipher import TokenCipher
from crypto_core.providers.answers import Liveness
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import Secret
from screens.incidents.choices import ChooseAnswer
from screens.incidents.declare import DeclareDialog
from screens.incidents.evidence_screen import EvidenceListScreen, EvidenceScreen
from screens.incidents.incident_screen import IncidentScreen
from screens.incidents.step_dialog import FieldChoice, InputsForm, StepDialog
from screens.widgets.line_input import SecretInput
from screens.widgets.line_list import LineList
from tests.console.incident_flows.operation import (
    Stored,
    agree,
    console,
    dialog,
    ended,
    leaked,
    page,
    patiently,
    provider_says,
    said,
    view,
    write_reports,
)
from tests.platform_rows import put
from tests.screens.deck import Deck
from tests.screens.test_token_timeline import go_to


async def paste(deck: Deck, words: str) -> None:
    deck.app.post_message(Paste(words))
    await deck.settle()


async def enter_token(deck: Deck, ref: TokenRef, token: str) -> StepDialog:
    await deck.press("enter")
    shown: StepDialog = await dialog(deck, StepDialog, "InputsForm")
    rows = shown.query_one("#field-0", LineList)
    for _ in range(len(rows.written)):
        target = rows.current.target if rows.current is not None else None
        if isinstance(target, FieldChoice) and target.value == str(ref):
            break
        await deck.press("down")
    assert rows.current is not None
    assert rows.current.target == FieldChoice("reference", str(ref)), deck.text()
    if rows.has_focus:  # where one row is left there is nothing to choose
        await deck.press("enter")
    await paste(deck, f"  {token} ")
    assert isinstance(deck.app.focused, SecretInput)
    assert "•" * 10 in deck.text()
    await deck.press("enter", "enter", "enter")
    await dialog(deck, StepDialog, "#confirm")
    assert not shown.query(InputsForm)
    return shown


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


def pull_logs(services: Container) -> None:
    puller = services.services.named("log_puller")
    for provider, name in (("github", "all"), ("slack", ""), ("atlassian", ATLASSIAN_ORG)):
        since = datetime.now(UTC) - timedelta(days=8)
        assert puller.pull(provider, name, Secret.of(AUDIT_TOKEN), since=since).finished


@pytest.mark.skipif(bool(not_installed("tripwire")), reason="needs forensics")
@pytest.mark.slow
@pytest.mark.deep
async def test_a_token_compromise_is_played_from_marked_rows_to_the_report(
    sandbox: Sandbox,
    services: Container,
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
    services.trail.puller.pull_events(since=datetime.now(UTC) - timedelta(hours=1))

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
            # Who opened them is refused the key at once.
            await deck.press("enter")
            await dialog(deck, StepDialog, "#confirm")
            assert "user/intruder is refused all of alias/tokens" in " ".join(deck.says().split())
            await agree(deck, "alias/tokens")
            await ended(deck, "block")
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

            # What the tokens can do is asked with a consent, and Jira's OAuth token is known by its scopes.
            await deck.press("enter")
            await dialog(deck, StepDialog, "#confirm")
            plan = " ".join(deck.says().split())
            assert "Opens 4 tokens and sends each to its own provider alone" in plan
            assert not sandbox.providers.calls()
            await agree(deck)
            await ended(deck, "abilities")
            (asked,) = (e for e in view(deck).evidence if e.kind == "abilities")
            assert asked.title == "Asked what they can do: 4 tokens: 4 known, 0 not known."

            # Revocation: hosts and numbers first, and only for the number typed.
            await deck.press("enter")
            shown = await dialog(deck, StepDialog, "#confirm")
            plan = " ".join(deck.says().split())
            for told in (
                "of 4 of 4 tokens it is known what they can do",
                f"{refs['v2']}: score ",
                "user/intruder opened it: CloudTrail names the row.",
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
            await agree(deck, typed.removeprefix("Type ").removesuffix(" to confirm"))
            await enter_token(deck, refs["jira"], fresh["jira"])
            await agree(deck)
            await ended(deck, "enter")

            # The logs don't cover the time: that is named, and so is each provider. Then they are fetched.
            await deck.press("enter")
            await patiently(deck, lambda: "github: events from" in said(deck))
            for provider in ("github", "slack", "atlassian"):
                assert f"{provider}" in said(deck)
            pull_logs(services)
            await deck.press("enter")
            await ended(deck, "use")

            await deck.press("enter")
            await ended(deck, "access")
            await deck.press("enter")
            await dialog(deck, ChooseAnswer)
            await deck.press("up", "up", "enter")  # from the safe answer to: the key stays
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

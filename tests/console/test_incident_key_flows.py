"""The runbooks about keys, played on screen from the console's start to the report on disk."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from console.application.context import ConsoleContexts
from console.container import Container
from console.sandbox import access_keys
from console.sandbox.endpoint import Fault
from console.sandbox.platform import platform_engine
from console.sandbox.sandbox import Sandbox
from console.sandbox.stored_values import envelopes, read_all
from console.settings import load
from crypto_core.database.state.installation import install
from crypto_core.envelope import open_envelope
from crypto_core.incidents.model import CheckState, StepState
from crypto_core.incidents.runbooks.runbook import Runbook
from crypto_core.values.secret import DataKey
from screens.incidents.declare import DeclareDialog
from screens.incidents.incident_screen import IncidentScreen
from screens.widgets.ask_text import AskText
from screens.widgets.line_list import LineList
from tests.conftest import run_here as keydeck
from tests.console.incident_stage import Operator, connect, operator, put_under
from tests.lanes import examples
from tests.pgbouncer import program as pgbouncer_program

TOKENS = examples(20_000, deep=5_000)
CONNECTIONS = TOKENS * 17 // 20
"""Enough for so many tokens."""
MOST_KEYS = 40
PLATFORM = "arn:aws:iam::123456789012:role/keydeck-platform"
NEW_TOKEN = "xoxb-a-connection-that-was-made-meanwhile"


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Sandbox]:
    with Sandbox.start(connections=CONNECTIONS) as sandbox:
        for name in list(os.environ):
            if name.startswith(("AWS_", "KEYDECK_", "PG")) or name in ("DATABASE_URL", "DEV_ENCRYPTION_KEY"):
                monkeypatch.delenv(name)
        for name, value in sandbox.settings().items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(tmp_path)
        sandbox.control.set_lookup_throttle(None)
        with closing(Container(load().settings)) as container:
            install(container.engine)
        mend(sandbox)
        yield sandbox


async def declare(works: Operator, *, runbook: str) -> None:
    """From any screen: an incident by one of the runbooks, about the key that is offered first."""
    await works.press("5")
    await works.until(lambda: "No incident yet" in works.text())
    await works.press("n")
    await works.dialog(DeclareDialog, "#choices")
    choices = works.screen.query_one("#choices", LineList)
    await works.until(lambda: choices.display and choices.written)
    offered = [line.target.id for line in choices.written if isinstance(line.target, Runbook)]
    await works.press(*["down"] * offered.index(runbook), "enter")
    await works.until(lambda: "Which key" in works.text() and works.screen.focused is choices)
    await works.press("enter")
    await works.until(lambda: works.screen.query("#open"))
    await works.press("enter")
    await works.until(lambda: isinstance(works.screen, IncidentScreen) and works.page.view is not None)


async def close(works: Operator) -> None:
    """Every step has ended: Enter, and Enter for the outcome that is proposed."""
    await works.until(lambda: isinstance(works.screen, IncidentScreen) and works.view.current is None)
    await works.press("enter")
    await works.dialog(AskText, "#text")
    await works.press("enter")
    await works.until(
        lambda: (
            isinstance(works.screen, IncidentScreen)
            and works.view.incident.outcome.startswith("Worked through: ")
        )
    )


@pytest.mark.slow(115)
@pytest.mark.deep
async def test_a_compromised_key_of_many_tokens_is_given_up_in_fewer_than_forty_keys(
    large: Sandbox, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    world, old = large.world, large.world.current_key.arn
    under = len(world.sealed_under(world.current_key)) + len(world.corrupt)
    unprotected = len(world.plaintext_refs) + len(world.dev_refs)
    assert len(world.tokens) >= TOKENS
    engine = platform_engine(large.platform_database_url)
    contexts = ConsoleContexts(load().settings)
    async with operator(contexts.services) as works:
        await declare(works, runbook="key-compromise")
        assert works.view.incident.scope.key == old
        scope = await works.finish("scope")
        assert f"{under:,}" in " ".join(scope.check.lines if scope.check else ())
        await works.agree("block")
        await works.ended("block")
        await works.finish("evidence")
        await works.agree("new-key")
        await works.ended("new-key")
        new = works.view.incident.values["new_key"]
        await works.at("switch")
        connected = connect(engine, large, new, NEW_TOKEN)
        await works.finish("switch")
        await works.agree("lock-down")
        await works.ended("lock-down")

        await works.agree("reencrypt")
        processes = works.app.facts.services.job_processes
        assert processes is not None
        await works.until(lambda: "job" in works.view.incident.values)
        job = int(works.view.incident.values["job"])
        assert processes.at_work()[job] >= 1
        told: list[tuple[CheckState, int, int]] = []

        def done() -> bool:
            seen = works.seen("reencrypt")
            if seen is not None and (entry := (seen.state, seen.done, seen.total)) not in told:
                told.append(entry)
            return seen is not None and seen.passed

        await works.until(lambda: f"Job {job} is running" in works.text())
        await works.until(done, "for the job")
        assert told[0][0] is CheckState.NOT_YET
        assert told[0][1] < told[0][2] == under
        assert told[-1][1] == under
        await works.finish("reencrypt")

        await works.agree("encrypt")
        await works.until(lambda: (s := works.seen("encrypt")) is not None and s.passed, "for the job")
        await works.finish("encrypt")
        await works.answer("leaked", "no")
        await works.finish("census")
        # An hour of CloudTrail, most of whose events are Keydeck's own, is fetched by two calls a second.
        await works.at("quiet")
        await works.press("s")
        await works.dialog(AskText, "#text")
        await works.press(*"later", "enter")
        await works.ended("quiet")
        await works.agree("disable")
        await works.ended("disable")
        await works.answer("retention", "keep disabled")
        await works.finish("review")
        await close(works)
        said = await works.write_report()
        await works.press("enter")
        record_property("keys", len(works.keys))
        assert len(works.keys) < MOST_KEYS, f"{len(works.keys)}: {' '.join(works.keys)}"
    contexts.close()

    with closing(Container(load().settings)) as container:
        incidents = container.services.incidents
        assert incidents is not None
        assert container.journal.verify() is None
        view, document = incidents.show(1), json.loads(incidents.report(1, "json"))["report"]
    (path,) = tmp_path.glob("keydeck-INC-1-*.html")
    assert path.name in said
    assert path.stat().st_mode & 0o777 == 0o600
    written = path.read_text(encoding="utf-8")
    assert len(view.evidence) > 20
    assert [one.sha256 for one in view.evidence if one.sha256 not in written] == []
    counted = {row["name"]: (row["before"], row["after"]) for row in document["census"]["by_key"]}
    assert counted[old] == (under, 0)
    assert counted[new] == (0, under + unprotected + 1)
    assert document["census"]["unprotected"] == [unprotected, 0]
    assert f"{under:,}" in written
    assert f"{under + unprotected + 1:,}" in written
    skipped = [step.step.id for step in view.steps if step.state is StepState.SKIPPED]
    assert skipped == ["quiet"]

    described = large.client("kms").describe_key(KeyId=old)["KeyMetadata"]
    assert described["KeyState"] == "Disabled"
    older = set(world.sealed_under(world.old_key))
    wanted = {ref: world.token_for(ref) for ref in world.tokens} | {connected: NEW_TOKEN}
    stored = dict(envelopes(read_all(large.platform_database_url)))
    engine.dispose()
    assert stored.keys() == wanted.keys()
    blobs = [(stored[ref].encrypted_data_key, stored[ref].opening_context(ref, None)) for ref in wanted]
    for ref, issued in zip(wanted, large.control.opened(blobs), strict=True):
        assert issued is not None, ref
        assert issued.key_arn == (world.old_key.arn if ref in older else new), ref
        with DataKey(issued.plaintext) as data_key:
            assert open_envelope(stored[ref], data_key, ref).reveal() == wanted[ref], ref


@pytest.fixture
def small(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """A small sandbox of its own whose tokens all open.

    Whole runbooks are played through PgBouncer where it is installed; with ALL_POOLS=1 directly as well.
    """
    whole = request.function is test_both_runbooks_are_worked_through_by_commands_alone
    if whole and pgbouncer_program() and not os.environ.get("ALL_POOLS"):
        pytest.skip("it is played through PgBouncer; ALL_POOLS=1 plays it directly as well")
    own_sandbox: Sandbox = request.getfixturevalue("own_sandbox")
    monkeypatch.chdir(tmp_path)
    own_sandbox.control.set_lookup_throttle(None)
    mend(own_sandbox)
    return own_sandbox


@pytest.mark.deep
async def test_a_key_that_waits_for_its_deletion_is_brought_back_and_every_token_tried(
    small: Sandbox, tmp_path: Path
) -> None:
    world, key, kms = small.world, small.world.current_key.arn, small.client("kms")
    under = len(world.sealed_under(world.current_key)) + len(world.corrupt)
    kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    contexts = ConsoleContexts(load().settings)
    async with operator(contexts.services) as works:
        await declare(works, runbook="key-lost")
        assert works.view.incident.scope.key == key
        await works.finish("look")
        await works.answer("cause", "disabled or waiting for deletion")
        await works.agree("block")
        await works.ended("block")
        await works.agree("cancel")
        await works.ended("cancel")
        assert kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "Disabled"
        await works.agree("enable")
        await works.ended("enable")
        await works.finish("who")
        await works.agree("verified")
        await works.ended("verified")
        assert works.view.incident.values["opened"] == str(under)
        await works.answer("second", "no replica")
        await works.finish("review")
        await close(works)
        await works.write_report()
        await works.press("enter")
        assert len(works.keys) < MOST_KEYS, works.keys
        states = {step.step.id: step.state for step in works.view.steps}
    contexts.close()
    assert {states[step] for step in ("replica", "restore", "unrecoverable")} == {StepState.NOT_NEEDED}
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "Enabled"
    (path,) = tmp_path.glob("keydeck-INC-1-*.html")
    written = path.read_text(encoding="utf-8")
    with closing(Container(load().settings)) as container:
        assert container.journal.verify() is None
        assert container.services.incidents is not None
        pieces = container.services.incidents.show(1).evidence
    assert {"key", "census", "events", "verification"} <= {piece.kind for piece in pieces}
    assert [piece.sha256 for piece in pieces if piece.sha256 not in written] == []
    assert f"{under} of {under} tokens opened" in written


@pytest.mark.deep
async def test_where_a_keys_region_is_down_its_replica_opens_and_every_token_is_tried(
    small: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, other = small.world, "eu-central-1"
    home = world.current_key.arn.split(":")[3]
    kms = small.client("kms")
    key = str(kms.create_key(MultiRegion=True, Description="Tokens, in two Regions")["KeyMetadata"]["Arn"])
    kms.replicate_key(KeyId=key, ReplicaRegion=other)
    monkeypatch.setenv("TOKEN_ENCRYPTION_KEY_ID", key)
    monkeypatch.setenv("KEYDECK_TRUSTED_KEYS", f"{world.old_key.arn},{world.current_key.arn}")
    monkeypatch.setenv("KEYDECK_REGIONS", f"{home},{other}")
    under = world.sealed_under(world.current_key)
    engine = platform_engine(small.platform_database_url)
    with closing(Container(load().settings)) as container:
        put_under(engine, world, container.keyring, under, key)
        container.services.status.take_census()
    engine.dispose()
    small.control.add_fault(Fault("*", "reset", region=home))
    started = keydeck("incident", "start", "key-lost", "--key", key, "--json")
    assert started.exit_code == 0, started.stderr
    contexts = ConsoleContexts(load().settings)
    async with operator(contexts.services) as works:
        await works.press("5")
        await works.until(lambda: "INC-1" in works.text())
        await works.press("enter")
        await works.until(lambda: isinstance(works.screen, IncidentScreen) and works.page.view is not None)
        await works.at("look")
        await works.press("enter")
        await works.until(lambda: "Not captured yet: key-use, findings" in works.text())
        await works.at("look")
        await works.press("s")
        await works.dialog(AskText, "#text")
        await works.confirm("AWS does not answer")
        assert (await works.ended("look")).state is StepState.SKIPPED
        kept = [one.title for one in works.view.evidence if (one.step_id, one.kind) == ("look", "key")]
        assert kept[0].endswith(key)
        assert [title.endswith(f" in {other}") for title in kept[1:]] == [True]
        await works.answer("cause", "its Region is down")
        replica = await works.finish("replica")
        assert replica.check is not None
        assert replica.check.lines == (f"{other}: opened 3 tokens.",)
        await works.agree("verified")
        await works.ended("verified")
        assert works.view.incident.values["opened"] == str(len(under))
        assert works.view.incident.values["not_opened"] == "0"
        small.control.clear()  # the Region is back
        await works.answer("second", "no replica")
        await works.finish("review")
        await close(works)
        await works.write_report()
    contexts.close()
    (path,) = tmp_path.glob("keydeck-INC-1-*.html")
    written = path.read_text(encoding="utf-8")
    assert "AWS does not answer" in written
    assert f"{len(under)} of {len(under)} tokens opened" in written
    assert f"{other}: opened 3 tokens." in written


@pytest.mark.slow(115)
@pytest.mark.deep
def test_both_runbooks_are_worked_through_by_commands_alone(
    small: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, key = small.world, small.world.current_key.arn
    small.client("kms").schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    answers = {"cause": "disabled or waiting for deletion", "second": "no replica"}
    lost = worked_through("key-lost", key, answers)
    assert {step["step"]: step["state"] for step in lost["steps"]}["verified"] == "done"

    def switch(new: str) -> None:
        monkeypatch.setenv("TOKEN_ENCRYPTION_KEY_ID", new)
        monkeypatch.setenv("KEYDECK_TRUSTED_KEYS", f"{world.old_key.arn},{key}")
        engine = platform_engine(small.platform_database_url)
        connect(engine, small, new, NEW_TOKEN)
        engine.dispose()

    # The platform used the old key minutes ago: nothing can prove that it is quiet.
    made = small.client("kms").generate_data_key(KeyId=key, KeySpec="AES_256")
    platform = small.client("kms", access_keys.PLATFORM)
    platform.decrypt(CiphertextBlob=made["CiphertextBlob"], KeyId=key)
    answers = {"leaked": "no", "retention": "delete"}
    compromise = worked_through("key-compromise", key, answers, switch=switch, unproved=UNPROVED)
    ended = {step["step"]: step["state"] for step in compromise["steps"]}
    assert {step for step in UNPROVED if ended[step] == "skipped"} == {*UNPROVED}
    assert keydeck("incident", "list", "--open", "--json").json["incidents"] == []
    state = small.client("kms").describe_key(KeyId=key)["KeyMetadata"]["KeyState"]
    assert state == "PendingDeletion"
    assert keydeck("journal", "verify").exit_code == 0
    verified = keydeck("verify", "--all", "--json")
    assert verified.exit_code == 0, verified.stdout[-2_000:]


UNPROVED = {
    "quiet": "The platform has used it within the hour.",
    "copies": "No copy is registered, and the old backups were given up by Ana.",
}
"""What can't be proved here, and why it is skipped."""


def worked_through(
    runbook: str,
    key: str,
    answers: Mapping[str, str],
    *,
    switch: Callable[[str], None] | None = None,
    unproved: Mapping[str, str] = {},
) -> dict[str, Any]:
    """Work on an incident from its start to its report, and return it as it was closed."""
    started = keydeck("incident", "start", runbook, "--key", key, "--json")
    assert started.exit_code == 0, started.stderr
    number = str(started.json["incident"])
    while (shown := keydeck("incident", "show", number, "--json")).json["current"] is not None:
        assert shown.exit_code == 1
        step, new = shown.json["current"], shown.json["values"].get("new_key")
        if step == "switch" and switch is not None:
            switch(new)
        how = ["--answer", answers[step]] if step in answers else ["--yes"]
        if step == "new-key":
            # So few connections that the platform was not seen to make one of late.
            how += ["--set", f"platform={PLATFORM}"]
        done = keydeck("incident", "next", number, *how, "--json")
        if step in unproved:
            assert done.exit_code == 1, done.stderr
            skipped = keydeck("incident", "skip", number, step, "--reason", unproved[step])
            assert skipped.exit_code == 0, skipped.stderr
        else:
            assert done.exit_code == 0, (step, done.stdout, done.stderr)
        assert done.json["step"] == step
    closed = keydeck("incident", "close", number, "--outcome", "Worked through.", "--json")
    assert closed.exit_code == 0, closed.stderr
    assert keydeck("incident", "show", number).exit_code == 0
    pieces = keydeck("incident", "evidence", number, "--json").json["evidence"]
    report = keydeck("incident", "report", number, "--format", "json").json["report"]
    assert [one["sha256"] for one in report["evidence"]] == [one["sha256"] for one in pieces]
    found: dict[str, Any] = closed.json
    return found


def mend(sandbox: Sandbox) -> None:
    """Let the owners of damaged tokens connect again: no runbook could prove that these open."""
    engine = platform_engine(sandbox.platform_database_url)
    with closing(Container(load().settings)) as container:
        put_under(engine, sandbox.world, container.keyring, sandbox.world.corrupt)
    engine.dispose()

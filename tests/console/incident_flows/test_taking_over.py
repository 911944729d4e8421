"""A key compromise goes on though its operator is killed, and though a Region is down; keys are counted."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from botocore.config import Config
from sqlalchemy import text

from console.application.context import ConsoleContexts
from console.container import Container
from console.sandbox import access_keys
from console.sandbox.endpoint import Fault, PastCall
from console.sandbox.sandbox import Sandbox
from console.sandbox.traffic import PLATFORM_ADDRESSES, PLATFORM_AGENT
from console.settings import load
from crypto_core.database.connection.engine import open_engine
from crypto_core.database.state.installation import install
from crypto_core.incidents.model import StepState
from screens.incidents.incident_screen import IncidentScreen
from screens.widgets.question import AskText
from tests.console.incident_stage import Operator, connect, operator, put_under
from tests.console.test_incident_key_flows import MOST_KEYS, NEW_TOKEN, close, declare, mend

pytestmark = pytest.mark.deep

ANA, BEN = "ASIATESTOFTAKINGOVRA", "ASIATESTOFTAKINGOVRB"
OTHER = "eu-central-1"


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Sandbox]:
    """A sandbox of its own with tokens enough for a job that has a middle; all of them open."""
    with Sandbox.start(connections=400) as sandbox:
        environment = sandbox.environment()
        for name in set(os.environ) - set(environment):
            monkeypatch.delenv(name)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(tmp_path)
        sandbox.control.set_lookup_throttle(None)
        with closing(Container(load().settings)) as container:
            install(container.engine)
        mend(sandbox)
        yield sandbox


def signed_in(sandbox: Sandbox, key: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox.control.add_principal(key, "keydeck-oncall", "role", name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)


async def open_incident(works: Operator) -> None:
    await works.press("5")
    await works.until(lambda: "INC-1" in works.text())
    await works.press("enter")
    await works.until(lambda: isinstance(works.screen, IncidentScreen) and works.page.view is not None)


async def go_on_without(works: Operator, step: str, reason: str) -> None:
    await works.at(step)
    await works.press("s")
    await works.dialog(AskText, "#text")
    await works.confirm(reason)
    assert (await works.ended(step)).state is StepState.SKIPPED


def in_one_line(works: Operator) -> str:
    """What the terminal shows, without the lines' ends and the rule between the panes."""
    return " ".join(works.text().replace("│", " ").split())


async def until_switched(works: Operator) -> str:
    await works.finish("scope")
    await works.agree("block")
    await works.ended("block")
    await works.finish("evidence")
    await works.agree("new-key")
    await works.ended("new-key")
    await works.at("switch")
    return works.view.incident.values["new_key"]


async def from_census_to_report(works: Operator) -> None:
    await works.agree("encrypt")
    await works.until(lambda: (seen := works.seen("encrypt")) is not None and seen.passed, "for the job")
    await works.finish("encrypt")
    await works.answer("leaked", "no")
    await works.finish("census")
    await go_on_without(works, "quiet", "later")
    await works.agree("disable")
    await works.ended("disable")
    await works.answer("retention", "keep disabled")
    await works.finish("review")
    await close(works)
    await works.write_report()
    await works.press("enter")


@pytest.mark.slow(130)
async def test_a_second_operator_ends_what_the_first_was_killed_in_the_middle_of(
    busy: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    world, old = busy.world, busy.world.current_key.arn
    under = len(world.sealed_under(world.current_key)) + len(world.corrupt)
    platform, superuser = open_engine(busy.platform_database_url), open_engine(busy.superuser_url)
    slowly = text("UPDATE keydeck.job SET calls_per_second = :rate WHERE id = :job")

    signed_in(busy, ANA, "ana", monkeypatch)
    contexts = ConsoleContexts(load().settings)
    async with operator(contexts.services) as ana:
        await declare(ana, runbook="key-compromise")
        new = await until_switched(ana)
        connect(platform, busy, new, NEW_TOKEN)
        await ana.finish("switch")
        await ana.agree("lock-down")
        await ana.ended("lock-down")
        await ana.agree("reencrypt")
        await ana.until(lambda: "job" in ana.view.incident.values, "for the job")
        job = int(ana.view.incident.values["job"])
        with superuser.begin() as connection:
            connection.execute(slowly, {"rate": 20, "job": job})
        jobs = ana.app.facts.services.jobs
        assert jobs is not None
        await ana.until(lambda: jobs.show_job(job).done > 0, "for the first tokens")
        processes = ana.app.facts.services.job_processes
        assert processes is not None
        for _, one in processes._started:  # type: ignore[attr-defined]
            os.kill(one.pid, signal.SIGKILL)
        await ana.until(lambda: not processes.at_work(), "for their end")
        by_ana = list(ana.keys)
    contexts.close()
    with superuser.begin() as connection:
        connection.execute(slowly, {"rate": 1_000, "job": job})

    signed_in(busy, BEN, "ben", monkeypatch)
    # As the step about the new key tells everybody to set it.
    monkeypatch.setenv("TOKEN_ENCRYPTION_KEY_ID", new)
    monkeypatch.setenv("KEYDECK_TRUSTED_KEYS", f"{world.old_key.arn},{old}")
    contexts = ConsoleContexts(load().settings)
    async with operator(contexts.services) as ben:
        await open_incident(ben)
        await ben.at("reencrypt")
        done = contexts.services.jobs.show_job(job).done  # type: ignore[union-attr]
        assert 0 < done < under
        # Begun by somebody else: Enter looks first whether it is done, and then goes on with the same job.
        await ben.press("enter")
        await ben.until(lambda: "No process works on it: run the step's action again" in ben.text())
        await ben.until(lambda: "Enter: re-encrypt" in ben.text(), "for the action to be offered")
        await ben.agree("reencrypt")
        await ben.until(lambda: (seen := ben.seen("reencrypt")) is not None and seen.passed, "for the job")
        assert int(ben.view.incident.values["job"]) == job
        await ben.finish("reencrypt")
        await from_census_to_report(ben)
        keys = [*by_ana, *ben.keys]
        assert len(keys) < MOST_KEYS, f"{len(keys)}: {' '.join(keys)}"
    contexts.close()
    platform.dispose()
    superuser.dispose()

    with closing(Container(load().settings)) as container:
        assert container.services.incidents is not None
        view = container.services.incidents.show(1)
        assert container.journal.verify() is None
        actors = " ".join(container.journal.actors())
        proof = container.status.prove(about=old)
    assert {step.step.id for step in view.steps if step.state is StepState.SKIPPED} == {"quiet"}
    assert proof.tokens_under(old) == 0
    assert "keydeck-oncall/ana" in actors
    assert "keydeck-oncall/ben" in actors
    (path,) = tmp_path.glob("keydeck-INC-1-*.html")
    written = path.read_text("utf-8")
    assert "keydeck-oncall/ana" in written
    assert "keydeck-oncall/ben" in written


@pytest.mark.slow(240)
async def test_a_region_that_is_down_keeps_the_key_from_being_taken_away_nowhere_else(
    busy: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    world, kms = busy.world, busy.client("kms")
    home = world.current_key.arn.split(":")[3]
    key = str(kms.create_key(MultiRegion=True, Description="Tokens, in two Regions")["KeyMetadata"]["Arn"])
    kms.replicate_key(KeyId=key, ReplicaRegion=OTHER)
    monkeypatch.setenv("TOKEN_ENCRYPTION_KEY_ID", key)
    monkeypatch.setenv("KEYDECK_TRUSTED_KEYS", f"{world.old_key.arn},{world.current_key.arn}")
    monkeypatch.setenv("KEYDECK_REGIONS", f"{home},{OTHER}")
    under = world.sealed_under(world.current_key)
    platform = open_engine(busy.platform_database_url)
    # Nobody but the platform and the responder uses the key: whom to block is not known without the Region.
    signed_in(busy, ANA, "ana", monkeypatch)
    with closing(Container(load().settings)) as container:
        put_under(platform, world, container.keyring, (*under, *world.corrupt), key)
        container.services.status.take_census()
    worked_since = datetime.now(UTC) - timedelta(days=3)
    busy.control.history(
        PastCall(
            time=worked_since + timedelta(hours=number),
            access_key_id=access_keys.PLATFORM,
            operation=operation,
            key_id=key,
            source_ip=PLATFORM_ADDRESSES[0],
            user_agent=PLATFORM_AGENT,
        )
        for number in range(48)
        for operation in ("GenerateDataKey", "Decrypt")
    )
    contexts = ConsoleContexts(load().settings)
    async with operator(contexts.services) as ana:
        busy.control.add_fault(Fault("*", "reset", region=OTHER))
        await declare(ana, runbook="key-compromise")
        assert ana.view.incident.scope.key == key
        await ana.finish("scope")
        await ana.agree("block")
        # Whether anybody is suspected depends on which events have come by now; if so, this waits, too.
        await ana.until(
            lambda: ana.view.step("block").state.ended or "could not be asked" in in_one_line(ana),
            "for block",
        )
        if not ana.view.step("block").state.ended:
            await go_on_without(ana, "block", "The Region is down")
        await ana.finish("evidence")
        await ana.agree("new-key")
        await ana.ended("new-key")
        await ana.at("switch")
        new = ana.view.incident.values["new_key"]
        connect(platform, busy, new, NEW_TOKEN)
        # What needs the Region to be proved waits for it, and says so; the operator decides to go on.
        await ana.press("enter")
        await ana.until(lambda: f"Old key in {OTHER}: last use is not known" in in_one_line(ana))
        await go_on_without(ana, "switch", "The Region is down")
        await ana.agree("lock-down")
        await ana.until(lambda: f"arn:aws:kms:{OTHER}" in in_one_line(ana))
        await go_on_without(ana, "lock-down", "The Region is down")
        await ana.agree("reencrypt")
        await ana.until(lambda: (step := ana.seen("reencrypt")) is not None and step.passed, "for the job")
        await ana.finish("reencrypt")
        busy.control.clear()
        await from_census_to_report(ana)
        assert len(ana.keys) < MOST_KEYS, f"{len(ana.keys)}: {' '.join(ana.keys)}"
    contexts.close()
    platform.dispose()
    states = {
        region: busy.client("kms", config=Config(region_name=region)).describe_key(
            KeyId=key.replace(home, region)
        )["KeyMetadata"]["KeyState"]
        for region in (home, OTHER)
    }
    assert states == {home: "Disabled", OTHER: "Disabled"}
    with closing(Container(load().settings)) as container:
        assert container.services.incidents is not None
        view = container.services.incidents.show(1)
        proof = container.status.prove(about=key)
    skipped = {step.step.id for step in view.steps if step.state is StepState.SKIPPED}
    assert skipped - {"block"} == {"switch", "lock-down", "quiet"}
    assert proof.tokens_under(key) == 0

"""What the demo opens on, and a platform that plays along. Deep: incidents are worked through."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from threading import Event
from time import sleep

import pytest

from console.container import Container
from console.practice.game_day.platform_team import PlatformTeam
from console.practice.game_day.runbook_work import agreed
from console.practice.story import INCIDENT_TITLE, Story
from console.sandbox.platform_part import PlatformPart
from console.sandbox.sandbox import Sandbox
from console.settings import load
from crypto_core.findings.finding import Severity
from crypto_core.incidents.model import IncidentScope, IncidentState, StepState
from crypto_core.incidents.service import IncidentService
from crypto_core.reencryption.jobs.model import JobState
from crypto_core.reencryption.plan import Selection
from crypto_core.values.errors import InterruptedRunError, RefusedError

pytestmark = pytest.mark.deep

PATIENCE = 60
INTRUDER = "arn:aws:iam::123456789012:user/intruder"


@pytest.fixture
def container(own_sandbox: Sandbox) -> Iterator[Container]:
    with closing(Container(load().settings)) as services:
        yield services


def work_until(incidents: IncidentService, number: int, last: str) -> None:
    """Do a runbook's steps as an operator does, up to one and with it."""
    while (view := incidents.show(number).current) is not None:
        step = view.step
        if step.action is not None:
            plan = incidents.plan_action(number, step.id)
            incidents.run_action(number, step.id, plan, agreed(plan))
        for left in reversed(range(PATIENCE)):
            if incidents.show(number).step(step.id).state.ended:
                break
            try:
                incidents.finish(number, step.id)
            except RefusedError:
                if not left:
                    raise
                sleep(0.5)  # the platform's team is at it
        if step.id == last:
            return


def test_the_demo_opens_on_a_past_and_its_platform_switches_keys(
    own_sandbox: Sandbox, container: Container, caplog: pytest.LogCaptureFixture
) -> None:
    world, services = own_sandbox.world, container.services
    incidents, jobs = services.incidents, services.jobs
    assert incidents is not None
    assert jobs is not None
    platform = PlatformPart(own_sandbox)
    with Story(own_sandbox, platform) as story:
        story.begin()
        begun = world.now - timedelta(days=7)
        assert not services.event_coverage.between(begun, world.now - timedelta(hours=2)).reasons
        story.wait()
    assert "not complete" not in caplog.text

    (view,) = incidents.incidents()
    assert (view.incident.title, view.incident.state) == (INCIDENT_TITLE, IncidentState.CLOSED)
    assert {one.state for one in incidents.show(1).steps} == {StepState.DONE, StepState.NOT_NEEDED}
    assert "Tokens dead: **1** (0 alive)" in incidents.report(1)
    (job,) = jobs.jobs()
    assert job.state is JobState.DONE
    assert job.done == job.job.planned > 0
    assert container.journal.verify() is None
    found = services.trail_rules.examine_events().findings
    assert found[0].rule == "event-bulk-decrypt"
    assert {one.subject for one in found if one.severity is not Severity.LOW} == {INTRUDER}
    # What the story called itself is hidden, and counted.
    assert not services.events.tally(("principal",), "-own principal:*oncall").rows
    assert services.events.summary("-own").hidden_own_events > 100
    radius = services.event_use.blast_radius(INTRUDER)
    assert radius.could
    assert services.events.tally(("day",), "principal:*platform").rows
    # Of the platform's calls, receipts say for which token each was; of the intruder's, nothing does.
    own, others = "name:Decrypt -failed principal:*platform", f"name:Decrypt -failed principal:{INTRUDER}"
    assert services.events.summary(f"{own} receipt:*").events == services.events.summary(own).events > 20
    assert services.events.summary(f"{others} explained").events == 0

    # A key is compromised: the team does what nobody does at the console, switches and connects again.
    assert platform.damaged("") == []
    number = incidents.declare(
        "key-compromise", IncidentScope(key=world.current_key.arn, since=datetime.now(UTC))
    )
    with PlatformTeam(platform, platform.damaged, pace=5):
        work_until(incidents, number, "switch")
        new = incidents.show(number).incident.values["new_key"]
        for _ in range(PATIENCE):
            if not platform.damaged(new):
                break
            sleep(0.5)
    assert not platform.damaged(new)
    assert all(one.opened for one in services.work.verify_tokens(Selection(references=tuple(world.corrupt))))


def test_a_demo_that_is_left_at_once_leaves_its_story(own_sandbox: Sandbox) -> None:
    with Story(own_sandbox, PlatformPart(own_sandbox)) as story:
        story.begin()
    story.stop()
    stopped = Event()
    stopped.set()
    with pytest.raises(InterruptedRunError):
        story._fetch()

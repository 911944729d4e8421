"""What the demo opens on, and a platform that plays along. Deep: incidents are worked through."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from threading import Event

import pytest

from console.container import Container
from console.demonstration.closed_incident import TITLE
from console.demonstration.damaged_connections import DamagedConnections
from console.demonstration.story import Story
from console.game_day.measures import agreed
from console.game_day.platform_part import PlatformPart
from console.game_day.platform_team import PlatformTeam
from console.sandbox.sandbox import Sandbox
from console.settings import load
from crypto_core.errors import InterruptedRunError
from crypto_core.incidents.model import IncidentScope, IncidentState, StepState
from crypto_core.incidents.service import IncidentService
from crypto_core.reencryption.jobs.model import JobState

pytestmark = pytest.mark.deep

INTRUDER = "arn:aws:iam::123456789012:user/intruder"


@pytest.fixture
def container(own_sandbox: Sandbox) -> Iterator[Container]:
    """The services over the sandbox."""
    with closing(Container(load().settings)) as services:
        yield services


def work_through(incidents: IncidentService, number: int, skipped: str) -> None:
    """Do a runbook's steps with every default, one of them skipped."""
    while (view := incidents.show(number).current) is not None:
        step = view.step
        if step.id == skipped:
            incidents.skip(number, step.id, "An hour is more than a demonstration has.")
        elif step.choices:
            incidents.answer(number, step.id, step.choices[0])
        else:
            if step.action is not None:
                plan = incidents.plan_action(number, step.id)
                incidents.run_action(number, step.id, plan, agreed(plan))
            if not incidents.show(number).step(step.id).state.ended:
                incidents.finish(number, step.id)


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
    assert (view.incident.title, view.incident.state) == (TITLE, IncidentState.CLOSED)
    assert {one.state for one in incidents.show(1).steps} == {StepState.DONE, StepState.NOT_NEEDED}
    assert "Tokens dead: **1** (0 alive)" in incidents.report(1)
    (job,) = jobs.jobs()
    assert job.state is JobState.DONE
    assert job.done + job.poisoned == job.job.planned > 0
    assert container.journal.verify() is None
    first = services.trail_rules.examine_events().findings[0]
    assert (first.rule, first.subject) == ("event-bulk-decrypt", INTRUDER)
    radius = services.event_use.blast_radius(INTRUDER)
    assert radius.could
    assert services.events.groups(("day",), "principal:*platform").rows

    # The runbook, as an operator plays it: whatever is asked for is done by the console or by the team.
    damaged = DamagedConnections(world, platform)
    assert damaged.cut_off("") == ()
    number = incidents.declare("key-compromise", IncidentScope(key=world.current_key.arn))
    with PlatformTeam(platform, damaged.cut_off, pace=30):
        work_through(incidents, number, skipped="quiet")
    assert incidents.show(number).current is None


def test_a_demo_that_is_left_at_once_leaves_its_story(own_sandbox: Sandbox) -> None:
    with Story(own_sandbox, PlatformPart(own_sandbox)) as story:
        story.begin()
    story.stop()
    stopped = Event()
    stopped.set()
    with pytest.raises(InterruptedRunError):
        story._fetch()

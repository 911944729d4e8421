"""A console that ends in the middle of a step: another operator goes on, and nothing is lost or doubled."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine

from crypto_core.database.state.journal import Journal
from crypto_core.incidents.model import EntryKind, IncidentScope, IncidentView, StepState
from crypto_core.incidents.service import IncidentService
from crypto_core.incidents.steps.step_contracts import ActionResult
from crypto_core.values.errors import RefusedError
from tests.crypto_core.incidents.service.doubles import KEY, Doubles, ended, interrupted

Act = Callable[..., ActionResult]

POINTS = (
    "lock-down-key before",
    "lock-down-key after",
    "key-locked-down look",
    "policy capture",
    "grants capture",
)


class BreakingJournal(Journal):
    """Ends the console while an entry is written, with its transaction open."""

    breaks_at = 0
    written = 0

    def call(
        self, function: str, *arguments: Any, within: Connection | None = None, actor: str | None = None
    ) -> int | None:
        made = super().call(function, *arguments, within=within, actor=actor)
        self.written += 1
        if self.written == self.breaks_at:
            raise KeyboardInterrupt
        return made


def go_on(service: IncidentService, act: Act, incident: int) -> None:
    """What an operator does who finds a step begun: looks whether it is proved, and runs it if not."""
    if service.show(incident).step("lock").state.ended:
        return
    try:
        service.finish(incident, "lock")
    except RefusedError:
        act(service, incident, "lock")


def assert_done_once(view: IncidentView, doubles: Doubles) -> None:
    step = view.step("lock")
    assert (step.state, step.trouble, step.check and step.check.passed) == (StepState.DONE, "", True)
    kinds = Counter(piece.kind for piece in view.evidence if piece.step_id == "lock")
    assert (kinds["policy"], kinds["grants"]) == (1, 1)
    assert kinds["key-use"] <= 1
    told = Counter(entry.kind for entry in view.entries if entry.step_id == "lock")
    assert told[EntryKind.DONE] == 1
    assert told[EntryKind.EVIDENCE] == sum(kinds.values())
    assert doubles.effects(view.incident.id) == ["lock-down-key"]


@pytest.mark.parametrize("end", [interrupted, ended])
@pytest.mark.parametrize("point", POINTS)
def test_a_console_that_is_ended_at_any_point_of_a_step_leaves_it_to_the_next_one(
    ana: IncidentService,
    ben: IncidentService,
    act: Act,
    incident: int,
    doubles: Doubles,
    point: str,
    end: Any,
) -> None:
    doubles.hooks[point] = end
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        act(ana, incident, "lock")
    doubles.hooks.clear()
    left = ben.show(incident).step("lock")
    assert (left.state, left.by) == (StepState.BEGUN, "ana")
    if point.startswith("lock-down-key"):
        assert left.trouble == end.__name__.replace("interrupted", "KeyboardInterrupt").replace(
            "ended", "SystemExit"
        )
    go_on(ben, act, incident)
    view = ben.show(incident)
    assert view.step("lock").by == "ben"
    assert_done_once(view, doubles)


@pytest.mark.deep
def test_a_console_that_ends_while_it_writes_anything_at_all_loses_nothing(
    engine: Engine, operator: Callable[..., IncidentService], ben: IncidentService, act: Act, doubles: Doubles
) -> None:
    for moment in count(1):
        incident = ben.declare("team-key", IncidentScope(key=KEY))
        journal = BreakingJournal(engine, lambda: "ana")
        ana = operator("ana", journal=journal)
        journal.breaks_at = moment
        try:
            act(ana, incident, "lock")
        except KeyboardInterrupt:
            go_on(ben, act, incident)
            assert_done_once(ben.show(incident), doubles)
        else:
            break
    # The plan, the begin, the action's evidence and its end, two captures, the step's end.
    assert moment == 8
    assert Journal(engine, lambda: "ana").verify() is None


@pytest.fixture
def console(
    incident_url: str, doubles: Doubles
) -> Iterator[Callable[[int, str, str], subprocess.Popen[bytes]]]:
    """Start a console that something happens to at a point of a step."""
    started = []

    def start(incident: int, point: str, hook: str) -> subprocess.Popen[bytes]:
        script = Path(__file__).with_name("dying.py")
        arguments = [incident_url, str(incident), str(doubles.folder), point, hook]
        environment = os.environ | {"PYTHONPATH": str(Path.cwd())}
        started.append(subprocess.Popen([sys.executable, str(script), *arguments], env=environment))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def once_free(act: Act, service: IncidentService, incident: int) -> None:
    while True:
        try:
            act(service, incident, "lock")
        except RefusedError as error:
            if "running right now, started by ana" not in error.message:
                raise
        else:
            return


@pytest.mark.deep
def test_a_process_that_is_killed_holds_its_step_until_its_lease_ends(
    ben: IncidentService, act: Act, doubles: Doubles, console: Callable[..., subprocess.Popen[bytes]]
) -> None:
    points = ("lock-down-key before", "lock-down-key after", "grants capture")
    incidents = [ben.declare("team-key", IncidentScope(key=KEY)) for _ in points]
    started = [console(incident, point, "killed") for incident, point in zip(incidents, points, strict=True)]
    assert [process.wait(120) for process in started] == [-9, -9, -9]
    for incident in incidents:
        left = ben.show(incident).step("lock")
        assert (left.state, left.by, left.trouble) == (StepState.BEGUN, "ana", "")
        once_free(act, ben, incident)
        assert ben.show(incident).step("lock").by == "ben"
        assert doubles.effects(incident) == ["lock-down-key"]


@pytest.mark.deep
def test_a_process_that_is_frozen_past_its_lease_wakes_up_and_writes_nothing(
    ben: IncidentService, act: Act, doubles: Doubles, console: Callable[..., subprocess.Popen[bytes]]
) -> None:
    points = ("lock-down-key before", "lock-down-key after", "grants capture")
    incidents = [ben.declare("team-key", IncidentScope(key=KEY)) for _ in points]
    started = [console(incident, point, "frozen") for incident, point in zip(incidents, points, strict=True)]
    for process in started:
        assert os.WIFSTOPPED(os.waitpid(process.pid, os.WUNTRACED)[1])
    for incident in incidents:
        once_free(act, ben, incident)
    views = [ben.show(incident) for incident in incidents]
    for process in started:
        process.send_signal(signal.SIGCONT)
    assert [process.wait(120) for process in started] == [7, 7, 7]
    assert [ben.show(incident) for incident in incidents] == views
    for view in views:
        assert view.step("lock").by == "ben"
        assert doubles.effects(view.incident.id) == ["lock-down-key"]

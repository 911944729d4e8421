"""A further process is started only where it helps: a core is full, another free, and there is much to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from console.host import job_progress as joining
from console.host.worker_count import LOOK_SECONDS, WORTH_SECONDS, Growth, cores, idle_cores
from console.sandbox.world import World
from crypto_core.reencryption.jobs.model import JobState, JobView
from tests.screens.stage_jobs import job_view


@dataclass
class Machine:
    now: float = 100.0
    used: float = 7.0
    idle: float = 1.0

    def works(self, seconds: float, share: float) -> None:
        self.now += seconds
        self.used += seconds * share

    def growth(self, most: int = 4) -> Growth:
        return Growth(most, used=lambda: self.used, idle=lambda: self.idle, clock=lambda: self.now)


LONG = replace(job_view(), state=JobState.RUNNING, eta_seconds=10 * WORTH_SECONDS)


@pytest.mark.parametrize(
    ("share", "idle", "running", "view", "wanted"),
    [
        (0.95, 1.0, 1, LONG, True),
        (0.95, 1.0, 3, LONG, True),
        (0.95, 1.0, 4, LONG, False),
        (0.60, 1.0, 1, LONG, False),
        (0.95, 0.2, 1, LONG, False),
        (0.95, 1.0, 1, replace(LONG, eta_seconds=WORTH_SECONDS / 2), False),
        (0.95, 1.0, 1, replace(LONG, eta_seconds=None), False),
        (0.95, 1.0, 1, replace(LONG, state=JobState.PAUSED), False),
    ],
)
def test_a_further_process_needs_a_full_core_a_free_one_and_work(
    share: float, idle: float, running: int, view: JobView, wanted: bool
) -> None:
    machine = Machine(idle=idle)
    growth = machine.growth()
    machine.works(LOOK_SECONDS, share)
    assert growth.wants_more(running, view) is wanted


def test_after_each_decision_it_is_measured_anew() -> None:
    machine = Machine()
    growth = machine.growth()
    machine.works(LOOK_SECONDS / 2, 1.0)
    assert not growth.wants_more(1, LONG)
    machine.works(LOOK_SECONDS / 2, 1.0)
    assert growth.wants_more(1, LONG)
    assert not growth.wants_more(2, LONG)
    machine.works(LOOK_SECONDS, 0.5)
    assert not growth.wants_more(2, LONG)
    machine.works(LOOK_SECONDS, 1.0)
    assert growth.wants_more(2, LONG)


def test_a_chosen_number_of_processes_is_not_exceeded() -> None:
    machine = Machine()
    growth = machine.growth(most=1)
    machine.works(60, 1.0)
    assert not growth.wants_more(1, LONG)


def test_the_machine_tells_its_cores_and_how_many_are_idle() -> None:
    idle_cores()
    assert cores() >= 1
    assert 0.0 <= idle_cores() <= cores()


@pytest.mark.deep
def test_a_process_that_is_wanted_works_on_the_job_and_ends_with_it(
    keydeck: Callable[..., Any], world: World, new_key: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joining.Growth, "wants_more", lambda _self, running, _view: running < 2)
    assert keydeck("init").exit_code == 0
    arguments = ("--from", world.current_key.arn, "--to", new_key(), "--job", "--yes", "--json")
    ran = keydeck("reencrypt", *arguments, "--except", "*")
    shown = keydeck("jobs", "show", str(ran.json["job"]), "--json").json
    assert ran.json["done"] + ran.json["poisoned"] == ran.json["planned"]
    assert len(shown["runners"]) == 2
    assert all(runner["ended"] for runner in shown["runners"])

"""Several processes on one job: the first one, or another, is killed or told to end."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from crypto_core.reencryption.jobs.model import JobState
from tests.console.faults.aftermath import assert_all_is_well
from tests.console.faults.scene import Child, Scene, is_gone, staged, until

pytestmark = pytest.mark.deep

SEED = 13


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    with staged(monkeypatch, rate=20) as made:
        made.write(SEED, 0.15)
        yield made


def beside(scene: Scene, first: Child, number: int) -> list[int]:
    """Wait until a process and so many others work on the job; returns the others."""

    def others() -> list[int]:
        return [r.pid for r in scene.view().runners if not r.ended and r.pid != first.pid]

    scene.until_enlisted(first)
    until(lambda: len(others()) == number or not first.runs, f"{number} further processes")
    assert first.runs, first.stderr
    return others()


@pytest.mark.slow
def test_processes_whose_first_one_is_killed_give_their_chunks_back_and_end(scene: Scene) -> None:
    first = scene.join("--processes", "3")
    others = beside(scene, first, 2)
    until(lambda: scene.taken() == 3, "a chunk for each")
    first.kill()
    until(lambda: all(is_gone(pid) for pid in others), "the end of the others")
    assert scene.view().state is JobState.RUNNING
    assert [scene.enlisted(pid) for pid in (first.pid, *others)] == [True, False, False]
    assert scene.taken() <= 1
    assert_all_is_well(scene, scene.finish(scene.join("--processes", "2")))


@pytest.mark.slow
def test_one_of_several_that_is_killed_is_told_and_the_others_go_on(scene: Scene) -> None:
    first = scene.join("--processes", "3")
    killed, other = beside(scene, first, 2)
    until(lambda: scene.taken() == 3, "a chunk for each")
    os.kill(killed, signal.SIGKILL)
    scene.until_written(20, first)
    assert not is_gone(other)
    assert_all_is_well(scene, scene.finish(first))
    assert f"Process {killed} stopped: exit code -9" in first.stderr
    assert [scene.enlisted(pid) for pid in (first.pid, killed, other)] == [False, True, False]


@pytest.mark.slow
def test_of_several_runners_those_that_are_told_to_end_do_and_another_finishes(scene: Scene) -> None:
    interrupted, terminated, other = scene.join(), scene.join(), scene.join()
    scene.until_enlisted(interrupted, terminated, other)
    until(lambda: scene.taken() == 3, "a chunk for each")
    for one, number in ((interrupted, signal.SIGINT), (terminated, signal.SIGTERM)):
        scene.until_written(20, one)
        one.process.send_signal(number)
        assert one.end() == 130
        assert "is not at its end" in one.stderr
        assert not scene.enlisted(one.pid)
    assert other.runs
    assert scene.taken() <= 1
    view = assert_all_is_well(scene, scene.finish(other))
    assert len(view.runners) == 3


@pytest.mark.slow
def test_all_processes_end_with_the_one_that_is_told_to(scene: Scene) -> None:
    first = scene.join("--processes", "3")
    others = beside(scene, first, 2)
    scene.until_written(20, first)
    first.process.send_signal(signal.SIGINT)
    assert first.end() == 130
    assert all(is_gone(pid) for pid in others)
    assert scene.taken() == 0
    assert_all_is_well(scene, scene.finish(scene.join()))

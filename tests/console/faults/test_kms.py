"""KMS fails in every manner throughout a job, and the credentials run out in the middle."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from console.sandbox.endpoint import Fault
from crypto_core.reencryption.bulk.pace import PaceTrend
from crypto_core.reencryption.jobs.model import JobState
from tests.console.faults.aftermath import assert_all_is_well
from tests.console.faults.scene import Scene, staged, until

pytestmark = pytest.mark.deep

SEED = 19
RATE = 100.0
BY_FILE = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
FIRST, SECOND = "AKIAKEYDECKFIRST0001", "AKIAKEYDECKSECOND001"


@pytest.fixture
def sign_in(tmp_path: Path) -> Callable[[str], str]:
    """Put an access key into the credentials' file; returns the file's path."""

    def has(access_key: str) -> str:
        file = tmp_path / "credentials"
        new = file.with_suffix(".new")
        new.write_text(f"[default]\naws_access_key_id = {access_key}\naws_secret_access_key = s\n")
        return str(new.replace(file))

    return has


def throttled(scene: Scene) -> int:
    return sum(sample.throttled for sample in scene.view().samples)


@pytest.mark.slow
def test_whatever_kms_does_a_runner_goes_on_and_so_does_its_end(
    monkeypatch: pytest.MonkeyPatch, sign_in: Callable[[str], str]
) -> None:
    settings = BY_FILE | {"AWS_SHARED_CREDENTIALS_FILE": sign_in(FIRST)}
    with staged(monkeypatch, connections=700, rate=RATE, settings=settings) as scene:
        control = scene.sandbox.control
        scene.write(SEED, 0.2)
        runner = scene.join()
        scene.until_enlisted(runner)
        control.set_throttle(RATE / 10)
        until(lambda: throttled(scene) or not runner.runs, "a throttled call")
        scene.until_written(40, runner)
        control.set_throttle(None)
        for error in ("KMSInternalException", "ServiceUnavailable", "reset", "half"):
            control.add_fault(Fault("*", error, fraction=0.3))
            scene.until_written(40, runner)
            control.clear()
        sign_in(SECOND)
        control.expire(FIRST)
        scene.until_written(20, runner)
        for error in ("KMSInternalException", "reset", "half"):
            control.add_fault(Fault("*", error, fraction=0.1))
        written = scene.finish(runner)
        control.clear()
        assert_all_is_well(scene, written)


def test_a_job_at_rate_auto_says_that_kms_leaves_it_nothing_and_loses_no_token(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with staged(monkeypatch, connections=300, rate=0.0) as scene:
        control = scene.sandbox.control
        control.set_throttle(0.0)
        runner = scene.join()
        scene.until_enlisted(runner)

        def is_starved() -> bool:
            pace = scene.view().pace
            return pace is not None and pace.standing is PaceTrend.STARVED

        until(lambda: is_starved() or not runner.runs, "a pace that has all but stopped")
        control.set_throttle(60.0)
        scene.until_written(40, runner)
        control.set_throttle(None)
        scene.write(SEED, 0.2)
        assert_all_is_well(scene, scene.finish(runner))


@pytest.mark.slow
def test_credentials_that_run_out_for_good_stop_a_job_until_they_are_renewed(
    monkeypatch: pytest.MonkeyPatch, sign_in: Callable[[str], str]
) -> None:
    settings = BY_FILE | {"AWS_SHARED_CREDENTIALS_FILE": sign_in(FIRST)}
    with staged(monkeypatch, rate=RATE, settings=settings) as scene:
        scene.write(SEED, 0.15)
        runner = scene.join()
        scene.until_enlisted(runner)
        scene.until_written(20, runner)
        scene.sandbox.control.expire(FIRST)
        assert runner.end() == 3
        view = scene.view()
        assert (view.state, view.poisoned) == (JobState.FAILED, 0)
        assert "expired" in view.why
        assert "expired" in runner.stderr
        sign_in(SECOND)
        scene.command("jobs", "resume", str(scene.job))
        assert_all_is_well(scene, scene.finish(scene.join()))

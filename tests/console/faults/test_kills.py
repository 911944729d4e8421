"""A runner that is killed with SIGKILL again and again, a new one each time.

FAULTS_KILLS says how often, FAULTS_SEED repeats what the dice came to:

    FAULTS_KILLS=100 FAULTS_SEED=7 python -m pytest -s tests/console/faults/test_kills.py
"""

from __future__ import annotations

import os
import random
import time

import pytest

from crypto_core.reencryption.jobs.model import JobState
from tests.console.faults.aftermath import assert_all_is_well
from tests.console.faults.scene import staged

pytestmark = pytest.mark.deep

KILLS = int(os.environ.get("FAULTS_KILLS", "8"))
LIFE_SECONDS = 1.5
"""How long at most a runner works before it is killed."""


@pytest.mark.slow
def test_a_runner_that_is_killed_at_random_moments_costs_retries_and_no_token(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seed = int(os.environ.get("FAULTS_SEED") or random.SystemRandom().randrange(1_000_000))
    print(f"FAULTS_KILLS={KILLS} FAULTS_SEED={seed}")
    dice = random.Random(seed)
    connections = min(300 + 75 * KILLS, 6_000)
    with staged(monkeypatch, connections=connections) as scene:
        # Slow enough for the first wave to last for most of the kills; the others meet with the closing.
        rate = 2 * scene.planned / (0.8 * KILLS * LIFE_SECONDS / 2)
        scene.pace(rate)
        began = time.monotonic()
        scene.write(seed, 0.5)
        idle = 0
        for _ in range(KILLS):
            runner = scene.join()
            if dice.random() < 0.9:
                scene.until_enlisted(runner)
            time.sleep(dice.uniform(0, LIFE_SECONDS))
            assert runner.runs, runner.stderr
            runner.kill()
            idle += not scene.enlisted(runner.pid)
        assert scene.view().state is JobState.RUNNING
        last = scene.join()
        written = scene.finish(last)
        view = assert_all_is_well(scene, written)
        seconds = time.monotonic() - began
        retried = scene.scalar(
            "SELECT sum(attempt - 1) FROM keydeck.job_chunk WHERE job_id = :job AND attempt > 1"
        )
        assert retried
        print(
            f"{KILLS} kills, {idle} of them before work began; chunks {view.chunks}, claimed again {retried};"
            f" tokens planned {view.job.planned}, written {view.done}, conflicts {view.conflicts},"
            f" waves {view.wave}, KMS calls {view.kms_calls}, platform {written['counts']}, {seconds:.0f} s"
        )

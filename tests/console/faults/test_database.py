"""PostgreSQL ends sessions, stops, loses answers, has no space left: a runner goes on by itself."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

import pytest

from console.sandbox.postgres import OPERATOR
from crypto_core.database.schema import metadata
from crypto_core.reencryption.jobs.model import JobState
from tests.console.faults.aftermath import assert_all_is_well
from tests.console.faults.scene import Scene, staged, until
from tests.console.faults.wire import lossy_wire

SEED = 11
SESSIONS = f"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = '{OPERATOR}'"
FULL = """
CREATE FUNCTION public.full_disk() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'could not extend file "base/1/2": No space left on device' USING ERRCODE = 'disk_full';
END $$
"""


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    with staged(monkeypatch) as made:
        yield made


def test_sessions_that_are_ended_at_random_moments_are_opened_again(scene: Scene) -> None:
    dice = random.Random(SEED)
    scene.write(SEED, 0.15)
    runner = scene.join()
    scene.until_enlisted(runner)
    ended = 0
    for _ in range(8):
        time.sleep(dice.uniform(0, 0.6))
        ended += scene.scalar(SESSIONS)
        scene.until_written(1, runner)
    assert ended >= 8
    assert_all_is_well(scene, scene.finish(runner))


def test_a_server_that_is_stopped_and_started_is_waited_for(scene: Scene) -> None:
    scene.write(SEED, 0.15)
    runner = scene.join()
    scene.until_enlisted(runner)
    for _ in range(2):
        scene.until_written(20, runner)
        scene.sandbox.postgres.stop()
        assert runner.runs
        scene.sandbox.postgres.restart()
        scene.superuser.dispose()
    assert_all_is_well(scene, scene.finish(runner))


def test_a_commit_whose_answer_is_lost_counts_once(scene: Scene) -> None:
    port = scene.sandbox.postgres.port
    scene.write(SEED, 0.15)
    with lossy_wire(port, random.Random(SEED), 0.15) as wire:
        through = {"DATABASE_URL": scene.sandbox.database_url.replace(f":{port}/", f":{wire.port}/")}
        runner = scene.join(environment=through)
        scene.until_enlisted(runner)
        scene.until_written(scene.planned // 2, runner)
        until(lambda: wire.lost >= 5, "lost answers")
        written = scene.finish(runner)
    assert_all_is_well(scene, written)


def fill_the_disk(scene: Scene) -> None:
    """No table of Keydeck's takes a row any more."""
    scene.execute(FULL)
    for table in metadata.tables:
        scene.execute(
            f"CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE ON {table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION public.full_disk()"
        )


def free_the_disk(scene: Scene) -> None:
    scene.execute("DROP FUNCTION public.full_disk CASCADE")


def test_a_full_disk_is_waited_out_and_a_lease_that_ran_out_meanwhile_costs_nothing(scene: Scene) -> None:
    scene.write(SEED, 0.3)
    runner = scene.join()
    scene.until_enlisted(runner)
    scene.until_written(20, runner)
    fill_the_disk(scene)
    out = "SELECT count(*) FROM keydeck.job_chunk WHERE job_id = :job AND lease_until < clock_timestamp()"
    until(lambda: scene.scalar(out), "a lease that has run out")
    refused = scene.join()
    assert refused.end() == 3
    assert "No space left on device" in refused.stderr
    assert runner.runs
    assert scene.view().state is JobState.RUNNING
    free_the_disk(scene)
    scene.until_written(20, runner)
    assert_all_is_well(scene, scene.finish(runner))

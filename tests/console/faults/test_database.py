"""PostgreSQL ends sessions, stops, loses answers, has no space left: a runner goes on by itself."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Iterator

import pytest
from sqlalchemy import Engine, text

from console.sandbox.postgres import OPERATOR, SUPERUSER
from crypto_core.database.connection.engine import open_engine
from crypto_core.database.schema import metadata
from crypto_core.reencryption.jobs.model import JobState
from tests.console.faults.aftermath import assert_all_is_well
from tests.console.faults.scene import STATE, Scene, staged, until
from tests.console.faults.wire import lossy_wire

pytestmark = pytest.mark.deep

SEED = 11
SESSIONS = f"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = '{OPERATOR}'"
FULL = """
CREATE SEQUENCE public.refusals;
GRANT USAGE ON SEQUENCE public.refusals TO PUBLIC;
CREATE FUNCTION public.full_disk() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM nextval('public.refusals');
    RAISE EXCEPTION 'could not extend file "base/1/2": No space left on device' USING ERRCODE = 'disk_full';
END $$
"""


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    with staged(monkeypatch) as made:
        yield made


@pytest.mark.slow
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


def test_a_server_that_is_frozen_or_stopped_and_started_is_waited_for(scene: Scene) -> None:
    server, dice = scene.sandbox.postgres, random.Random(SEED)
    scene.write(SEED, 0.15)
    runner = scene.join()
    scene.until_enlisted(runner)
    for _ in range(2):
        scene.until_written(20, runner)
        server.pause()
        time.sleep(dice.uniform(0.5, 2.5))
        server.resume()
        scene.until_written(20, runner)
        server.stop()
        assert runner.runs
        server.restart()
        scene.superuser.dispose()
    assert_all_is_well(scene, scene.finish(runner))


@pytest.mark.slow
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


def fill_the_disk(database: Engine, tables: Iterable[str], only: str = "") -> None:
    """These tables take no row any more, or `only` those for which a condition holds."""
    each = f"FOR EACH ROW WHEN ({only})" if only else "FOR EACH STATEMENT"
    with database.begin() as connection:
        connection.execute(text(FULL))
        for table in tables:
            connection.execute(
                text(
                    f"CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE ON {table} {each}"
                    " EXECUTE FUNCTION public.full_disk()"
                )
            )


def refusals(database: Engine) -> int:
    with database.connect() as connection:
        return int(connection.scalar(text("SELECT last_value FROM public.refusals")) or 0)


def free_the_disk(database: Engine) -> None:
    with database.begin() as connection:
        connection.execute(text("DROP FUNCTION public.full_disk CASCADE"))
        connection.execute(text("DROP SEQUENCE public.refusals"))


@pytest.mark.slow
def test_a_full_disk_is_waited_out_and_a_lease_that_ran_out_meanwhile_costs_nothing(scene: Scene) -> None:
    scene.write(SEED, 0.3)
    runner = scene.join()
    scene.until_enlisted(runner)
    scene.until_written(20, runner)
    fill_the_disk(scene.superuser, metadata.tables)
    while not scene.taken():
        free_the_disk(scene.superuser)
        until(scene.taken, "a claimed chunk")
        fill_the_disk(scene.superuser, metadata.tables)
    out = "SELECT count(*) FROM keydeck.job_chunk WHERE job_id = :job AND lease_until < clock_timestamp()"
    until(lambda: scene.scalar(out), "a lease that has run out")
    refused = scene.join()
    assert refused.end() == 3
    assert "No space left on device" in refused.stderr
    assert runner.runs
    assert scene.view().state is JobState.RUNNING
    free_the_disk(scene.superuser)
    scene.until_written(20, runner)
    assert_all_is_well(scene, scene.finish(runner))


@pytest.mark.slow
def test_a_journal_of_its_own_that_has_no_space_is_waited_for_and_told_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with staged(monkeypatch, journal_elsewhere=True) as scene:
        elsewhere = open_engine(scene.sandbox.postgres.url(SUPERUSER, STATE))
        platform, runner = scene.write(SEED, 0.15), scene.join()
        scene.until_enlisted(runner)
        for kind in ("wave", "run_ended"):
            fill_the_disk(elsewhere, ["keydeck.journal"], f"NEW.detail LIKE '%\"{kind}\"%'")
            if kind == "run_ended":
                platform.switch()
            until(lambda: refusals(elsewhere) > 2 or not runner.runs, "an entry that is refused")
            # What can't be told is not done.
            view = scene.view()
            assert view.state is JobState.RUNNING
            assert view.wave == 1 or kind == "run_ended"
            free_the_disk(elsewhere)
        elsewhere.dispose()
        assert runner.end() == 0, runner.stderr
        assert_all_is_well(scene, platform.stop())

"""A job waits while a replica is too far behind, says so, and goes on by itself."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
from sqlalchemy import Engine, make_url, text
from sqlalchemy.exc import OperationalError

from console.container import Container
from console.sandbox.sandbox import Sandbox
from console.settings import load
from crypto_core.database.connection.engine import open_engine
from crypto_core.database.replicas import ReplicaLag, ReplicaLags
from crypto_core.database.state.installation import install
from crypto_core.reencryption.jobs.model import JobState
from crypto_core.reencryption.jobs.replica_watch import UNSEEN, ReplicaWatch
from crypto_core.values.errors import DatabaseError
from tests.crypto_core.reencryption.running.runs import wait_until
from tests.standby import standby_of


def test_it_waits_until_the_lag_has_halved_and_asks_once_a_second() -> None:
    now, asked = [0.0], list[float]()
    lags = iter([9.0, 11.0, 6.0, 5.0, 9.0])

    def look() -> ReplicaLag:
        asked.append(now[0])
        return ReplicaLag("eu-2", next(lags))

    watch = ReplicaWatch(look, 10.0, clock=lambda: now[0])
    said = []
    for _ in range(20):
        said.append(watch.renew())
        now[0] += 0.25
    assert asked == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert [bool(one) for one in said[::4]] == [False, True, True, False, False]
    assert said[4] == "Replica eu-2 is 11 s behind, at most 10 s (--max-lag)"


def test_where_it_cant_be_asked_it_stays_as_it_is_unless_it_never_can_be() -> None:
    said = [ReplicaLag("a", 11.0), DatabaseError("away", sqlstate="08006"), DatabaseError("no")]
    answers: Iterator[ReplicaLag | DatabaseError] = iter(said)  # type: ignore[arg-type]

    def look() -> ReplicaLag:
        found = next(answers)
        if isinstance(found, DatabaseError):
            raise found
        return found

    now = [0.0]
    watch = ReplicaWatch(look, 10.0, clock=lambda: now[0])
    assert watch.renew()
    now[0] = 1
    assert watch.renew()
    now[0] = 2
    assert not watch.renew()
    assert watch.unseen == "Replicas can't be asked about: no"


def test_off_asks_nothing_and_what_is_hidden_is_told_with_the_grant() -> None:
    watch = ReplicaWatch(lambda: ReplicaLag("", 0.0, 1), 10.0)
    assert not watch.renew()
    assert watch.unseen == UNSEEN
    assert "GRANT pg_read_all_stats TO" in UNSEEN

    def never() -> ReplicaLag:
        raise AssertionError

    assert not ReplicaWatch(never, 0.0).renew()


def test_auroras_own_function_is_asked_where_there_is_one(services: Container, superuser: Engine) -> None:
    assert ReplicaLags(services.engine).look() == ReplicaLag()
    with superuser.begin() as connection:
        connection.execute(
            text(
                "CREATE FUNCTION pg_catalog.aurora_replica_status()"
                " RETURNS TABLE (server_id text, session_id text, "
                "replica_lag_in_msec double precision) LANGUAGE sql AS $$ VALUES ('writer', "
                "'MASTER_SESSION_ID', NULL), ('reader-1', 'a', 20), ('reader-2', 'b', 12500) $$"
            )
        )
    assert ReplicaLags(services.engine).look() == ReplicaLag("reader-2", 12.5)


@pytest.mark.deep
def test_a_job_waits_for_a_real_replica_and_goes_on(own: Sandbox) -> None:
    services = Container(load().settings)
    install(services.engine)
    superuser = open_engine(own.superuser_url).execution_options(isolation_level="AUTOCOMMIT")
    keys = ("--from", own.world.old_key.arn, "--to", own.world.current_key.arn)
    command = ("reencrypt", *keys, "--job", "--yes", "--except", "*", "--max-lag", "1")
    with standby_of(own) as url:
        place = make_url(own.superuser_url).set(port=make_url(url).port)
        replica = open_engine(place.render_as_string(hide_password=False))
        replica = replica.execution_options(isolation_level="AUTOCOMMIT")
        assert ReplicaLags(services.engine).look().unseen == 1
        with replica.connect() as following, superuser.connect() as primary:
            primary.execute(text("GRANT pg_read_all_stats TO operator"))
            wait_until(lambda: ReplicaLags(services.engine).look() == ReplicaLag("walreceiver"))
            following.execute(text("SELECT pg_wal_replay_pause()"))
            primary.execute(text("CREATE TABLE since AS SELECT generate_series(1, 1000)"))
            wait_until(lambda: ReplicaLags(services.engine).look().seconds > 1)
            job = subprocess.Popen([sys.executable, "-m", "console", *command], stderr=subprocess.PIPE)
            jobs = services.services.jobs
            assert jobs is not None
            wait_until(lambda: any("walreceiver" in view.waiting for view in jobs.jobs()))
            time.sleep(1.5)
            view = jobs.jobs()[0]
            assert (view.state, view.done) == (JobState.RUNNING, 0)
            # Replay that goes on may cancel the very statement that says so: it has a snapshot.
            with suppress(OperationalError):
                following.execute(text("SELECT pg_wal_replay_resume()"))
            said = job.communicate(timeout=60)[1].decode()
        replica.dispose()
    superuser.dispose()
    view = jobs.jobs()[0]
    assert (job.returncode, view.state, view.waiting) == (0, JobState.DONE, "")
    assert "is waiting: Replica walreceiver is" in said
    services.close()

"""The database stops, freezes, or the process is killed in the middle of a run: no token is lost."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer

import pytest
from sqlalchemy import Engine, text

import console
from console.container import Container
from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World
from crypto_core.database.connection.engine import open_engine
from crypto_core.database.tokens.store import TokenScope
from crypto_core.envelope import Format
from crypto_core.guard.consent import Consent
from crypto_core.keyring.cipher import TokenCipher
from crypto_core.reencryption.plan import RunProgress, Selection, Verb
from crypto_core.values.errors import DatabaseError, DatabaseUnreachableError
from tests.crypto_core.reencryption.running.runs import all_hold_their_tokens, make_pages_small, wait_until

HOME = Path(console.__file__).resolve().parents[1]

# Small pages, so that there is a middle in which to be killed.
COMMAND = """
import sys
from console.__main__ import run
from tests.crypto_core.reencryption.running.runs import make_pages_small
make_pages_small(setattr)
sys.exit(run(sys.argv[1:]))
"""


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    make_pages_small(monkeypatch.setattr)


@pytest.fixture
def superuser(own: Sandbox) -> Iterator[Engine]:
    engine = open_engine(own.superuser_url)
    yield engine
    engine.dispose()


def backups(superuser: Engine) -> int:
    with superuser.connect() as connection:
        return int(connection.scalar(text("SELECT count(*) FROM keydeck.envelope_backup")) or 0)


def completes(container: Container, superuser: Engine, world: World) -> bool:
    """A second run completes, nothing is left under the old key, and the journal is whole."""
    selection, work = Selection(under_key=world.old_key.arn), container.services.work
    planned = work.plan_reencryption(Verb.REENCRYPT, selection, world.current_key.arn)
    result = work.run_plan(planned, Consent.by_option(planned))
    assert (result.stopped_by, result.remaining) == ("", 0)
    verified = work.verify_tokens(Selection(everything=True))
    assert not [v for v in verified if v.key_arn == world.old_key.arn]
    assert backups(superuser) == len(world.sealed_under(world.old_key))
    assert container.journal.verify() is None
    return all_hold_their_tokens(TokenCipher(container.keyring), superuser, world)


@pytest.mark.deep
def test_a_database_that_stops_in_the_middle_loses_nothing(
    own: Sandbox, container: Container, superuser: Engine
) -> None:
    work, world = container.services.work, own.world
    plan = work.plan_reencryption(
        Verb.REENCRYPT, Selection(under_key=world.old_key.arn), world.current_key.arn
    )
    done: list[int] = []

    def progress(told: RunProgress) -> None:
        done.append(told.done)
        if len(done) == 2:
            own.postgres.stop()

    with pytest.raises(DatabaseUnreachableError):
        work.run_plan(plan, Consent.by_option(plan), progress=progress)
    for call in (
        container.services.status.take_census,
        lambda: work.plan_reencryption(plan.verb, plan.selection, plan.target_key_arn),
    ):
        with pytest.raises(DatabaseUnreachableError):
            call()
    own.postgres.restart()
    superuser.dispose()
    assert 0 < done[-1] < plan.tokens
    told = container.journal.entries()
    assert "started" in {e.outcome for e in told}
    assert not [e for e in told if "run_ended" in e.detail]
    assert backups(superuser) == done[-1]
    assert all_hold_their_tokens(TokenCipher(container.keyring), superuser, world)
    assert completes(container, superuser, world)


@pytest.mark.deep
def test_sessions_that_are_ended_in_the_middle_lose_nothing(
    own: Sandbox, container: Container, superuser: Engine
) -> None:
    work, world = container.services.work, own.world
    plan = work.plan_reencryption(Verb.REWRAP, Selection(everything=True), world.current_key.arn)
    pages = 0

    def progress(_: RunProgress) -> None:
        nonlocal pages
        pages += 1
        with superuser.connect() as connection:
            connection.execute(
                text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'operator'")
            )

    # Between two pages no session is in use: each is found dead and replaced.
    result = work.run_plan(plan, Consent.by_option(plan), progress=progress)
    assert pages > 3
    assert (result.stopped_by, result.remaining) == ("", 0)
    assert all_hold_their_tokens(TokenCipher(container.keyring), superuser, world)


@pytest.mark.deep
def test_a_database_that_freezes_for_a_while_only_delays_the_run(
    own: Sandbox, container: Container, superuser: Engine
) -> None:
    work, world = container.services.work, own.world
    plan = work.plan_reencryption(
        Verb.REENCRYPT, Selection(under_key=world.old_key.arn), world.current_key.arn
    )
    timers: list[Timer] = []

    def progress(_: RunProgress) -> None:
        if not timers:
            own.postgres.pause()
            timers.append(Timer(1.0, own.postgres.resume))
            timers[0].start()

    result = work.run_plan(plan, Consent.by_option(plan), progress=progress)
    timers[0].join()
    assert (result.stopped_by, result.remaining) == ("", 0)
    assert completes(container, superuser, world)


@contextmanager
def command(own: Sandbox, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The command in a process of its own; killed at the end, if it hasn't ended."""
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, *arguments],
        cwd=HOME,
        env=own.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=30)


@pytest.mark.deep
@pytest.mark.parametrize("written", [1, 8])
def test_a_process_that_is_killed_in_the_middle_loses_nothing(
    own: Sandbox, container: Container, superuser: Engine, written: int
) -> None:
    world = own.world
    own.control.set_latency(150)
    keys = ("--from", world.old_key.arn, "--to", world.current_key.arn)
    with command(own, "reencrypt", *keys, "--yes") as process:
        wait_until(lambda: backups(superuser) >= written)
        process.kill()
        assert process.wait(timeout=30) == -9
    own.control.clear()
    assert written <= backups(superuser) < len(world.sealed_under(world.old_key))
    assert all_hold_their_tokens(TokenCipher(container.keyring), superuser, world)
    assert completes(container, superuser, world)


@pytest.mark.deep
def test_a_process_that_is_killed_while_it_encrypts_in_place_loses_nothing(
    own: Sandbox, container: Container, superuser: Engine
) -> None:
    world = own.world
    sealed = len(world.plaintext_refs) + len(world.dev_refs)

    def unprotected() -> int:
        scope = TokenScope(frozenset({Format.PLAINTEXT, Format.DEV}))
        return sum(container.store.count(scope).values())

    # Each column is written in a page of its own: slow enough that the first one is seen before the next.
    own.control.set_latency(1000)
    with command(own, "encrypt", "--plaintext", "--yes") as process:
        wait_until(lambda: unprotected() < sealed)
        process.kill()
    own.control.clear()
    assert 0 < unprotected() < sealed
    work = container.services.work
    planned = work.plan_reencryption(Verb.ENCRYPT, Selection(unprotected=True), world.current_key.arn)
    result = work.run_plan(planned, Consent.by_option(planned))
    assert result.complete
    assert unprotected() == backups(superuser) == 0
    assert all_hold_their_tokens(TokenCipher(container.keyring), superuser, world)
    assert container.journal.verify() is None


@pytest.mark.deep
def test_three_processes_at_once_move_each_token_once(
    own: Sandbox, container: Container, superuser: Engine
) -> None:
    world = own.world
    own.control.set_latency(10)
    arguments = ("reencrypt", "--from", world.old_key.arn, "--to", world.current_key.arn, "--yes")
    with command(own, *arguments) as a, command(own, *arguments) as b, command(own, *arguments) as c:
        ends = [(p.communicate(timeout=120)[1], p.returncode) for p in (a, b, c)]
    own.control.clear()
    assert all(code in (0, 1) for _, code in ends), ends
    assert backups(superuser) == len(world.sealed_under(world.old_key))
    assert completes(container, superuser, world)


@pytest.mark.deep
def test_a_standby_refuses_and_nothing_is_changed(
    own: Sandbox, container: Container, superuser: Engine
) -> None:
    world, work = own.world, container.services.work
    plan = work.plan_reencryption(
        Verb.REENCRYPT, Selection(under_key=world.old_key.arn), world.current_key.arn
    )
    with superuser.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ALTER DATABASE tokens SET default_transaction_read_only = on"))
    container.engine.dispose()
    with pytest.raises(DatabaseError, match="read only"):
        work.run_plan(plan, Consent.by_option(plan))
    # What can't be written into the schema is remembered all the same.
    assert container.services.status.take_census().tokens == len(world.tokens)
    assert all_hold_their_tokens(TokenCipher(container.keyring), superuser, world)
    assert backups(superuser) == 0

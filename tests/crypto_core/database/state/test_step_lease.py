"""The lease of an incident's step: one holder, taken over once it expired, and who lost it writes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from threading import Event
from threading import enumerate as enumerate_threads
from time import sleep
from typing import Any

import pytest
from sqlalchemy import Engine, text

from console.container import Container
from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World
from crypto_core.aws.kms import KmsApi
from crypto_core.database.connection.engine import open_engine
from crypto_core.database.state import leases
from crypto_core.database.state.incidents import IncidentStore
from crypto_core.database.state.journal import Journal
from crypto_core.database.state.leases import STEP_LEASE_SECONDS, DutyLease, StepLease, leased, on_duty
from crypto_core.guard.held_step import holding, require_held
from crypto_core.keys.changes.change import ChangeKind, KeyChange
from crypto_core.reencryption.plan import Selection, Verb
from crypto_core.values.errors import (
    DatabaseError,
    DatabaseTimeoutError,
    DutyLostError,
    RefusedError,
    StepLostError,
)
from crypto_core.values.references import TokenRef
from tests.crypto_core.agreed import agreed
from tests.crypto_core.database.state.test_incidents import DRAFT
from tests.crypto_core.statements import execute, scalar
from tests.pooler import pooler


@pytest.fixture(params=["direct", "pooled"])
def engine(
    request: pytest.FixtureRequest, services: Container, environment: dict[str, str]
) -> Iterator[Engine]:
    """To the test's database: straight, and by way of a pooler where nothing of a session holds."""
    url = environment["DATABASE_URL"]
    with pooler(url) as wire:
        made = open_engine(wire.url(url) if request.param == "pooled" else url)
        yield made
        made.dispose()


@pytest.fixture
def store(engine: Engine) -> IncidentStore:
    return IncidentStore(engine, Journal(engine, lambda: "ana"))


@pytest.fixture
def number(store: IncidentStore) -> int:
    return store.declare(DRAFT)


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """No lease is renewed by its thread, as in a process that is frozen."""
    monkeypatch.setattr(leases, "STEP_RENEW_SECONDS", 3_600)


def expire(superuser: Engine) -> None:
    with superuser.begin() as connection:
        assert connection.execute(text("UPDATE keydeck.incident_lease SET until = now()")).rowcount


class Frozen:
    """A holder whose console was frozen for longer than its lease, and that another took over from."""

    def __init__(self, engine: Engine, number: int, superuser: Engine) -> None:
        self.lease = StepLease(engine, number, "one", "ana")
        self.lease.take()
        expire(superuser)
        self.other = StepLease(engine, number, "one", "ben")
        self.other.take()
        # Its own clock went on while it was frozen.
        self.lease._sure_until = 0.0


@pytest.fixture
def frozen(engine: Engine, number: int, superuser: Engine) -> Frozen:
    return Frozen(engine, number, superuser)


def test_a_step_is_held_by_one_until_it_is_given_back(engine: Engine, number: int) -> None:
    with leased(engine, number, "one", "ana\x1b[31m"), leased(engine, number, "two", "ana"):
        with (
            pytest.raises(
                RefusedError, match=f"Step one of INC-{number} .* started by ana.31m on"
            ) as refused,
            leased(engine, number, "one", "ben"),
        ):
            pass
        (seconds,) = (int(word) for word in refused.value.remedy.split() if word.isdigit())
        assert 1 <= seconds <= STEP_LEASE_SECONDS
    with pytest.raises(KeyboardInterrupt), leased(engine, number, "one", "ben"):
        raise KeyboardInterrupt
    with leased(engine, number, "one", "ana"):
        pass


def test_over_a_clock_that_goes_back_a_holder_keeps_its_step_and_others_wait_no_longer_than_a_lease(
    engine: Engine, number: int, superuser: Engine
) -> None:
    lease = StepLease(engine, number, "one", "ana")
    lease.take()
    execute(superuser, "UPDATE keydeck.incident_lease SET until = until + interval '1 hour'")
    with pytest.raises(RefusedError, match="is running right now") as refused:
        StepLease(engine, number, "one", "ben").take()
    (seconds,) = (int(word) for word in refused.value.remedy.split() if word.isdigit())
    assert 1 <= seconds <= STEP_LEASE_SECONDS
    # The one that came shortened it, for good.
    left = scalar(superuser, "SELECT max(until - clock_timestamp()) FROM keydeck.incident_lease")
    assert left.total_seconds() <= STEP_LEASE_SECONDS
    lease.renew()
    expire(superuser)
    StepLease(engine, number, "one", "ben").take()
    with pytest.raises(StepLostError):
        lease.renew()


def test_of_many_who_take_an_expired_step_at_once_one_does(
    engine: Engine, number: int, superuser: Engine
) -> None:
    StepLease(engine, number, "one", "ana").take()
    expire(superuser)

    def take(name: str) -> bool:
        try:
            StepLease(engine, number, "one", name).take()
        except RefusedError:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(take, "abcdef")) == 1


def test_a_lease_ends_by_the_servers_clock_whatever_a_consoles_says(
    engine: Engine, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with leased(engine, number, "one", "ana"):
        monkeypatch.setattr(leases, "_now", lambda: 1e12)
        with pytest.raises(RefusedError):
            StepLease(engine, number, "one", "ben").take()
        require_held()  # it asks, and is told that it still holds the step


def test_it_is_renewed_for_as_long_as_the_step_runs(
    engine: Engine, number: int, superuser: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "STEP_RENEW_SECONDS", 0.01)
    later = Event()
    renew = StepLease.renew
    monkeypatch.setattr(StepLease, "renew", lambda lease: (renew(lease), later.set())[0])
    left = text("SELECT until > clock_timestamp() FROM keydeck.incident_lease")
    with leased(engine, number, "one", "ana"):
        expire(superuser)
        for _ in range(2):  # the first may have begun before it expired
            later.clear()
            assert later.wait(30)
        with superuser.connect() as connection:
            assert connection.scalar(left) is True
    with superuser.connect() as connection:
        assert connection.scalar(left) is False


def test_a_database_that_is_away_for_a_moment_ends_no_renewing(
    engine: Engine, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "STEP_RENEW_SECONDS", 0.01)
    tries, twice = [], Event()

    def renew(_: StepLease) -> None:
        tries.append(1)
        if len(tries) > 1:
            twice.set()
        raise DatabaseTimeoutError("Away.")

    monkeypatch.setattr(StepLease, "renew", renew)
    with leased(engine, number, "one", "ana"):
        assert twice.wait(30)


@pytest.mark.quick(2)
@pytest.mark.parametrize("kind", [StepLease, DutyLease])
def test_a_renewal_under_way_does_not_outlive_the_lease(
    engine: Engine, number: int, monkeypatch: pytest.MonkeyPatch, kind: type[StepLease | DutyLease]
) -> None:
    for name in ("STEP_RENEW_SECONDS", "DUTY_RENEW_SECONDS"):
        monkeypatch.setattr(leases, name, 0.01)
    acts: list[str] = []
    begun, act = Event(), kind._act

    def slow(lease: Any, connection: Any, name: str, *more: Any) -> Any:
        if name == "renew":
            begun.set()
            sleep(0.1)  # the block ends meanwhile
        acts.append(name)
        return act(lease, connection, name, *more)

    monkeypatch.setattr(kind, "_act", slow)
    of_step, before = leased(engine, number, "one", "ana"), set(enumerate_threads())
    with of_step if kind is StepLease else on_duty(engine, "watch"):
        assert begun.wait(30)
    for thread in set(enumerate_threads()) - before:
        thread.join()
    assert acts[-1] == "end"


def test_a_duty_that_is_handed_over_when_it_is_renewed_is_lost_at_once(
    engine: Engine, superuser: Engine
) -> None:
    lease = DutyLease(engine, "watch")
    assert lease.take() is None
    with superuser.begin() as connection:
        asked = "since = since - interval '16 minutes', asked_by = 'other', asked_at = now()"
        connection.execute(text(f"UPDATE keydeck.duty SET {asked} WHERE name = 'watch'"))
    with pytest.raises(DutyLostError):
        lease.renew()
    with pytest.raises(DutyLostError), lease.writing():
        pass


@pytest.mark.usefixtures("still")
def test_who_was_frozen_goes_on_if_nobody_came(engine: Engine, number: int, superuser: Engine) -> None:
    with leased(engine, number, "one", "ana") as lease:
        expire(superuser)
        lease._sure_until = 0.0
        require_held()
        with pytest.raises(RefusedError):
            StepLease(engine, number, "one", "ben").take()


def test_who_was_taken_over_from_changes_nothing_of_the_incident(
    frozen: Frozen, store: IncidentStore, number: int
) -> None:
    for lost in (frozen.lease.require, frozen.lease.renew):
        with pytest.raises(
            StepLostError, match=f"Step one of INC-{number} was taken over by ben on .* until"
        ):
            lost()
    before = store.whole(number)
    with holding(frozen.lease), pytest.raises(StepLostError), store.change(number, "ana") as change:
        change.tell("note", "one", "Late.")
    assert store.whole(number) == before
    frozen.lease.end()
    frozen.other.renew()


def test_nobody_takes_a_step_while_its_holder_writes(
    engine: Engine, number: int, store: IncidentStore, superuser: Engine, still: None
) -> None:
    with leased(engine, number, "one", "ana"), ThreadPoolExecutor(1) as pool:
        with store.change(number, "ana") as change:
            taking = pool.submit(StepLease(engine, number, "one", "ben").take)
            with superuser.connect() as connection:
                waits = text(
                    "SELECT count(*) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND wait_event_type = 'Lock'"
                )
                while not taking.done() and not connection.scalar(waits):
                    connection.rollback()
            change.tell("note", "one", "In time.")
        with pytest.raises(RefusedError):
            taking.result(30)
    assert store.whole(number).entries[-1].text == "In time."


@pytest.mark.parametrize("engine", ["direct"], indirect=True)
def test_who_was_taken_over_from_changes_no_key_and_begins_nothing(
    frozen: Frozen, services: Container, sandbox: Sandbox, new_key: Callable[[], str], kms: KmsApi
) -> None:
    key = new_key()
    change = services.key_management.changes.plan_change(KeyChange(ChangeKind.DISABLE, key))
    with holding(frozen.lease):
        kms.call("DescribeKey", KeyId=key)
        with pytest.raises(StepLostError):
            kms.call("DisableKey", KeyId=key)
        with pytest.raises(StepLostError):
            services.key_management.changes.make_change(change, agreed(change))
    assert kms.call("DescribeKey", KeyId=key)["KeyMetadata"]["KeyState"] == "Enabled"
    outcomes = [e.outcome for e in services.journal.entries() if e.action == "keys disable"]
    assert "started" not in outcomes


@pytest.mark.parametrize("engine", ["direct"], indirect=True)
def test_a_token_whose_step_was_taken_over_before_the_commit_stays_as_it_was(
    frozen: Frozen, services: Container, world: World, stored: Callable[[TokenRef], str], superuser: Engine
) -> None:
    ref = world.sealed_under(world.old_key)[0]
    before = stored(ref)
    plan = services.tokens.work.plan_reencryption(Verb.REENCRYPT, Selection((ref,)), world.current_key.arn)
    lost: Any = frozen.lease

    class AfterTheBeginning:
        """Held until the run has begun."""

        asked = 0

        def require(self) -> None:
            self.asked += 1
            if self.asked > 1:
                lost.require()

    with holding(AfterTheBeginning()), pytest.raises(StepLostError):
        services.tokens.work.run_plan(plan, agreed(plan))
    assert stored(ref) == before
    assert scalar(superuser, "SELECT count(*) FROM keydeck.envelope_backup") == 0


def test_however_many_steps_are_held_the_pool_is_there_for_whoever_looks(
    engine: Engine, store: IncidentStore, number: int
) -> None:
    with ExitStack() as steps:
        for one in range(20):
            steps.enter_context(leased(engine, number, f"step {one}", "ana"))
        assert store.whole(number).incident.title == "T"


def test_a_step_that_cannot_be_given_back_ends_by_itself(
    engine: Engine, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with leased(engine, number, "one", "ana"):
        monkeypatch.setattr(leases, "connected", _away)
    monkeypatch.undo()
    with pytest.raises(RefusedError, match="running right now"):
        StepLease(engine, number, "one", "ben").take()


def _away(*_: Any, **__: Any) -> Any:
    raise DatabaseError("Away.")

"""A call that is cancelled ends at once, and nobody else's statement ends with it."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Thread, Timer

import pytest
from sqlalchemy import Engine, text

from console.container import Container
from crypto_core.database.connection.engine import connected, open_engine
from crypto_core.lists.paging import Query
from crypto_core.values.cancellation import Cancellation
from crypto_core.values.errors import DatabaseTimeoutError, InterruptedRunError


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    opened = open_engine(database_url)
    yield opened
    opened.dispose()


def pid(engine: Engine) -> int:
    with connected(engine) as connection:
        return int(connection.scalar(text("SELECT pg_backend_pid()")) or 0)


@pytest.mark.parametrize("write", [False, True])
def test_a_statement_under_way_ends_and_the_connection_serves_on(engine: Engine, write: bool) -> None:
    before = pid(engine)
    cancelled = Cancellation()
    Timer(0.3, cancelled.set).start()
    began = time.monotonic()
    with (
        pytest.raises(InterruptedRunError),
        connected(engine, write=write, cancelled=cancelled) as connection,
    ):
        connection.execute(text("SELECT pg_sleep(30)"))
    assert time.monotonic() - began < 15
    assert pid(engine) == before


def test_a_cancellation_between_two_statements_ends_the_next(engine: Engine) -> None:
    cancelled = Cancellation()

    def two_statements() -> None:
        with connected(engine, cancelled=cancelled) as connection:
            connection.execute(text("SELECT 1"))
            cancelled.set()
            time.sleep(0.2)
            connection.execute(text("SELECT pg_sleep(30)"))

    with pytest.raises(InterruptedRunError):
        two_statements()


def test_what_is_cancelled_beforehand_asks_nothing(engine: Engine) -> None:
    for cancelled in (Event(), Cancellation()):
        cancelled.set()
        with pytest.raises(InterruptedRunError), connected(engine, cancelled=cancelled):
            pytest.fail("there is nothing to do")


def test_a_time_limit_is_no_cancellation(engine: Engine) -> None:
    limited = text("SET LOCAL statement_timeout = 50; SELECT pg_sleep(30)")
    with pytest.raises(DatabaseTimeoutError), connected(engine, cancelled=Cancellation()) as connection:
        connection.execute(limited)


def test_cancelling_does_not_wait_for_the_network(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    hung = Event()
    monkeypatch.setattr("crypto_core.database.connection.interruption.PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(
        "crypto_core.database.connection.interruption._Canceller._ask", lambda _: hung.wait(30)
    )
    before, cancelled = pid(engine), Cancellation()
    with connected(engine, cancelled=cancelled) as connection:
        began = time.monotonic()
        cancelled.set()
        assert not hung.is_set()
        assert time.monotonic() - began < 15
        connection.execute(text("SELECT 1"))
    hung.set()
    # Nobody knows when that request would have arrived: the connection is not given to anybody else.
    assert pid(engine) != before


@pytest.mark.deep
def test_no_statement_of_the_next_user_is_cancelled(database_url: str) -> None:
    """One pooled connection, cancelled at random moments and used by others at once."""
    engine = open_engine(database_url)
    chance = random.Random(7)
    try:
        with connected(engine) as connection:
            connection.execute(text("SELECT 1"))
        pids = set()
        for _ in range(150):
            cancelled = Cancellation()
            moment = chance.uniform(0, 0.012)
            setter = Thread(target=lambda c=cancelled, m=moment: (time.sleep(m), c.set()))
            setter.start()
            try:
                with connected(engine, cancelled=cancelled) as connection:
                    connection.execute(text("SELECT pg_sleep(0.004)"))
            except InterruptedRunError:
                pass
            with connected(engine) as connection:
                pids.add(connection.scalar(text("SELECT pg_backend_pid() FROM pg_sleep(0.004)")))
            setter.join()
            with connected(engine) as connection:
                connection.execute(text("SELECT pg_sleep(0.001)"))
        assert len(pids) == 1
    finally:
        engine.dispose()


def test_many_calls_at_once_end_only_those_that_are_cancelled(engine: Engine) -> None:
    def call(number: int) -> bool:
        cancelled = Cancellation()
        if number % 2:
            Timer(0.05, cancelled.set).start()
        try:
            with connected(engine, cancelled=cancelled) as connection:
                connection.execute(text("SELECT pg_sleep(0.4)"))
        except InterruptedRunError:
            return False
        return True

    with ThreadPoolExecutor(max_workers=8) as pool:
        assert list(pool.map(call, range(24))) == [n % 2 == 0 for n in range(24)]


@pytest.mark.deep
def test_pages_counts_and_the_status_are_ended(services: Container, platform: Engine) -> None:
    """The platform holds a lock: without cancelling, each call would wait for it."""
    inventory, status = services.services.inventory, services.services.status
    inventory.page(Query())
    services.catalogue.refresh()
    with platform.begin() as connection:
        connection.execute(text("LOCK TABLE public.gh_connection IN ACCESS EXCLUSIVE MODE"))
        for call in (
            lambda c: inventory.page(Query(), cancelled=c),
            lambda c: inventory.page(Query(sort="created"), backwards=True, cancelled=c),
            lambda c: inventory.count(Query("org:x"), cancelled=c),
            lambda c: status.take_census(cancelled=c),
        ):
            cancelled = Cancellation()
            Timer(0.2, cancelled.set).start()
            began = time.monotonic()
            with pytest.raises(InterruptedRunError):
                call(cancelled)
            assert time.monotonic() - began < 15
    assert inventory.page(Query()).rows

"""A role that may connect once or twice works: threads wait for one another's connections."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Timer
from uuid import uuid4

import pytest
from sqlalchemy import Engine, make_url, text

from crypto_core.database.connection import pool
from crypto_core.database.connection.engine import connected, open_engine
from crypto_core.values.errors import DatabaseUnreachableError

PID = text("SELECT pg_backend_pid() FROM pg_sleep(0.002)")


@pytest.fixture
def limited(database_url: str, superuser: Engine) -> Iterator[Callable[[int], Engine]]:
    """Makes a role that may connect so often; returns an engine of it."""
    role = f"role_{uuid4().hex[:12]}"
    engines: list[Engine] = []
    admin = superuser.execution_options(isolation_level="AUTOCOMMIT")

    def limit(connections: int) -> Engine:
        with admin.connect() as connection:
            connection.execute(
                text(f"CREATE ROLE {role} LOGIN PASSWORD 'word' CONNECTION LIMIT {connections}")
            )
        url = make_url(database_url).set(username=role, password="word")
        engines.append(open_engine(url.render_as_string(hide_password=False)))
        return engines[-1]

    yield limit
    for engine in engines:
        engine.dispose()
    with admin.connect() as connection:
        connection.execute(text(f"DROP ROLE {role}"))


@pytest.mark.parametrize("most", [1, 2, 3])
def test_many_threads_share_what_the_role_may_have(limited: Callable[[int], Engine], most: int) -> None:
    engine = limited(most)

    def ask(_: int) -> int:
        with connected(engine) as connection:
            return int(connection.scalar(PID) or 0)

    with ThreadPoolExecutor(12) as pool:
        pids = list(pool.map(ask, range(120)))
    assert 1 <= len(set(pids)) <= most


def test_a_connection_that_nobody_gives_back_is_the_servers_refusal(
    limited: Callable[[int], Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "WAIT_SECONDS", 0.01)
    engine = limited(1)
    with connected(engine):
        for _ in range(2):
            with pytest.raises(DatabaseUnreachableError, match="too many connections"), connected(engine):
                pass
    with connected(engine) as connection:
        assert connection.scalar(text("SELECT 1")) == 1


def test_a_session_that_is_about_to_end_is_waited_for(limited: Callable[[int], Engine]) -> None:
    engine = limited(1)
    second = open_engine(engine.url.render_as_string(hide_password=False))
    held = engine.raw_connection()
    leaving = Timer(0.3, held.invalidate)
    leaving.start()
    with connected(second) as connection:
        assert connection.scalar(text("SELECT 1")) == 1
    leaving.join()
    second.dispose()


def test_who_has_none_is_refused_within_moments(limited: Callable[[int], Engine]) -> None:
    engine = limited(1)
    second = open_engine(engine.url.render_as_string(hide_password=False))
    with (
        connected(engine),
        pytest.raises(DatabaseUnreachableError, match="too many connections"),
        connected(second),
    ):
        pass
    second.dispose()


def test_once_the_limit_is_raised_there_are_more(
    limited: Callable[[int], Engine], superuser: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "WAIT_SECONDS", 0.01)
    monkeypatch.setattr(pool, "REMEMBERED_SECONDS", 0.0)
    engine = limited(1)
    with connected(engine), pytest.raises(DatabaseUnreachableError), connected(engine):
        pass
    with superuser.execution_options(isolation_level="AUTOCOMMIT").connect() as admin:
        admin.execute(text(f"ALTER ROLE {engine.url.username} CONNECTION LIMIT 5"))
    with connected(engine), connected(engine) as connection:
        assert connection.scalar(text("SELECT 1")) == 1

"""A time limit that a DBA has set for the role holds where it is shorter than Keydeck's."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Connection, Engine, text

from crypto_core.database.connection.engine import connected, open_engine, patient
from crypto_core.values.errors import DatabaseTimeoutError, DatabaseUnreachableError

NAMES = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
SHOWN = text(f"SELECT {', '.join(f'current_setting({name!r})' for name in NAMES)}")


@pytest.fixture
def limited(environment: dict[str, str], superuser: Engine) -> Iterator[Callable[..., Engine]]:
    """Sets limits for the operator in the test's own database; returns an engine of theirs."""
    engines: list[Engine] = []

    def limit(**limits: str) -> Engine:
        with superuser.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            for name, value in limits.items():
                database = superuser.url.database
                connection.execute(text(f"ALTER ROLE operator IN DATABASE {database} SET {name} = '{value}'"))
        engines.append(open_engine(environment["DATABASE_URL"]))
        return engines[-1]

    yield limit
    for engine in engines:
        engine.dispose()


@pytest.mark.parametrize(
    ("theirs", "holds"),
    [
        ("0", ("1min", "10s", "2min")),
        ("2s", ("2s", "2s", "2s")),
        ("1500ms", ("1500ms", "1500ms", "1500ms")),
        ("30s", ("30s", "10s", "30s")),
        ("1min", ("1min", "10s", "1min")),
        ("2h", ("1min", "10s", "2min")),
        ("2147483647", ("1min", "10s", "2min")),
    ],
)
def test_the_shorter_limit_holds_and_none_is_longer_than_keydecks(
    limited: Callable[..., Engine], theirs: str, holds: tuple[str, ...]
) -> None:
    engine = limited(**dict.fromkeys(NAMES, theirs))
    for way in ({}, {"write": True}, {"snapshot": True}):
        with connected(engine, **way) as connection:
            assert tuple(connection.execute(SHOWN).one()) == holds
    with connected(engine, write=True, brief=True) as connection:
        *others, idle = connection.execute(SHOWN).one()
    assert (tuple(others), idle) == (holds[:2], "10s" if holds[2] in ("30s", "1min", "2min") else holds[2])
    with connected(engine) as connection:
        streamed = connection.execute(SHOWN, execution_options={"stream_results": True})
        assert tuple(streamed.one()) == holds


def test_what_was_cut_short_says_the_limit_and_who_raises_it(limited: Callable[..., Engine]) -> None:
    engine = limited(statement_timeout="120ms")
    with pytest.raises(DatabaseTimeoutError, match="120ms") as caught, connected(engine) as connection:
        connection.execute(text("SELECT pg_sleep(30)"))
    assert caught.value.limit == "120ms"
    assert "ALTER ROLE" in caught.value.remedy
    assert caught.value.passing


def test_what_reads_a_whole_table_has_its_own_time_and_says_that_one(limited: Callable[..., Engine]) -> None:
    engine = limited(statement_timeout="50ms")
    with connected(engine) as connection, patient(connection, 600):
        connection.execute(text("SELECT pg_sleep(0.2)"))
    with (
        pytest.raises(DatabaseTimeoutError, match="may take 1s") as caught,
        connected(engine) as connection,
        patient(connection, 1),
    ):
        connection.execute(text("SELECT pg_sleep(30)"))
    assert caught.value.limit == "1s"


def test_a_session_that_was_ended_for_idling_is_a_passing_error_and_the_next_one_works(
    limited: Callable[..., Engine],
) -> None:
    engine = limited(idle_in_transaction_session_timeout="50ms")
    with pytest.raises(DatabaseUnreachableError) as caught, connected(engine) as connection:
        _idle_until_ended(engine, connection)
    assert caught.value.passing
    assert "idle_in_transaction_session_timeout" in caught.value.remedy
    with connected(engine) as connection:
        assert connection.scalar(text("SELECT 1")) == 1


def _idle_until_ended(engine: Engine, connection: Connection) -> None:
    there = text("SELECT count(*) FROM pg_stat_activity WHERE pid = :pid")
    pid = connection.scalar(text("SELECT pg_backend_pid()"))
    for _ in range(1_000):
        with connected(engine) as other:
            if not other.scalar(there, {"pid": pid}):
                break
    connection.execute(text("SELECT 1"))

"""Large tables are counted in ranges by several sessions: all of it at one moment, or not at all."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Engine, text

from console.container import Container
from console.settings import load
from crypto_core.database.connection import shared_moment
from crypto_core.database.tokens import page_ranges
from crypto_core.database.tokens.attribution_cache import AttributionCache
from crypto_core.database.tokens.census import Census, CensusProgress, take_census
from crypto_core.values.cancellation import Cancellation
from crypto_core.values.errors import DatabaseError, InterruptedRunError
from tests.crypto_core.statements import execute
from tests.pgbouncer import needs_pgbouncer, pgbouncer

Seen = Callable[[CensusProgress], None]


@pytest.fixture(autouse=True)
def _small_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every table of the sandbox is a large one."""
    monkeypatch.setattr(page_ranges, "PAGES", 1)


def census_of(container: Container, progress: Seen | None = None, **more: Cancellation) -> Census:
    return take_census(
        container.engine, container.catalogue, AttributionCache(container.engine), progress=progress, **more
    )


def numbers(census: Census) -> Counter[tuple[object, ...]]:
    counts: Counter[tuple[object, ...]] = Counter()
    for group in census.groups:
        counts[group.column, group.format, group.edk_prefix, group.wrapping, group.holding] += group.tokens
    return counts


@pytest.fixture
def before(services: Container, monkeypatch: pytest.MonkeyPatch) -> Counter[tuple[object, ...]]:
    """What one statement counts of it all."""
    with monkeypatch.context() as whole:
        whole.setattr(page_ranges, "PAGES", 10_000)
        return numbers(census_of(services))


@pytest.fixture
def active(superuser: Engine) -> Iterator[Callable[[], list[int]]]:
    """The sessions that count now."""
    with superuser.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        yield lambda: list(
            connection.scalars(
                text(
                    "SELECT pid FROM pg_stat_activity WHERE application_name = 'keydeck' AND state <> 'idle'"
                    " AND pid <> pg_backend_pid() AND query LIKE '%edk_prefix%'"
                )
            )
        )


def test_what_others_write_meanwhile_is_counted_as_it_was(
    services: Container, platform: Engine, before: Counter[tuple[object, ...]]
) -> None:
    """Rows go from ranges not read yet to ranges that were, and are gone; none of it is of the moment."""
    seen: list[CensusProgress] = []

    def write(progress: CensusProgress) -> None:
        seen.append(progress)
        if len(seen) in (2, 6):
            with platform.begin() as connection:
                connection.execute(text("DELETE FROM gh_connection WHERE ctid < '(2,0)'"))
                for table, column in (("gh_connection", "access_token"), ("slack_connection", "bot_token")):
                    connection.execute(text(f"UPDATE {table} SET {column} = 'ghp_' || md5({column})"))
                connection.execute(text("DELETE FROM jira_connection WHERE id LIKE '%7'"))

    assert numbers(census_of(services, write)) == before
    assert len(seen) > 10
    tokens, shares = [p.tokens for p in seen], [p.share for p in seen]
    assert (tokens, shares) == (sorted(tokens), sorted(shares))
    assert (tokens[-1], shares[-1]) == (before.total(), 1.0)
    assert numbers(census_of(services)) != before


def test_one_session_counts_as_several_do(
    services: Container, before: Counter[tuple[object, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a second session, the first one counts everything."""
    monkeypatch.setattr(shared_moment, "_help", lambda *_: None)
    assert numbers(census_of(services)) == before


def test_a_session_that_dies_takes_the_count_with_it(
    services: Container, superuser: Engine, active: Callable[[], list[int]]
) -> None:
    """Of a count that lacks a range there is no number at all."""
    ended: list[int] = []

    def end(_: CensusProgress) -> None:
        for pid in active() if not ended else ():
            with superuser.connect() as connection:
                connection.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
            ended.append(pid)

    with pytest.raises(DatabaseError):
        census_of(services, end)
    assert ended


def test_a_count_ends_within_a_second_of_its_cancelling(
    services: Container, active: Callable[[], list[int]]
) -> None:
    cancelled = Cancellation()
    with pytest.raises(InterruptedRunError):
        census_of(services, lambda _: cancelled.set(), cancelled=cancelled)
    patience = time.monotonic() + 5
    while active():
        assert time.monotonic() < patience, "a session still counts"
        time.sleep(0.05)


def test_a_role_that_may_read_some_columns_counts_them_whole(
    services: Container, superuser: Engine, before: Counter[tuple[object, ...]]
) -> None:
    """A range asks for a row's place, which takes the right to read the whole table."""
    execute(
        superuser,
        "REVOKE SELECT ON gh_connection FROM operator",
        "GRANT SELECT (id, access_token, refresh_token) ON gh_connection TO operator",
    )
    assert numbers(census_of(services)) == before


@needs_pgbouncer
def test_the_moment_is_shared_through_a_pooler(
    services: Container,
    before: Counter[tuple[object, ...]],
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for size in ("1", "5"):
        with pgbouncer(database_url, default_pool_size=size) as pooler:
            monkeypatch.setenv("DATABASE_URL", pooler.url(database_url))
            container = Container(load().settings)
            assert numbers(census_of(container)) == before
            container.close()

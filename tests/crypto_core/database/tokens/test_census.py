"""The census: every token counted once, in SQL, and no value leaves the database for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import psycopg2.extensions
import pytest
from sqlalchemy import Engine, event, text

from console.container import Container
from console.sandbox.provider_tokens import MARKER
from console.sandbox.world import World
from console.settings import load
from crypto_core.database.tokens.attribution_cache import AttributionCache
from crypto_core.database.tokens.census import Census, take_census
from crypto_core.database.tokens.inventory import SortKey
from crypto_core.database.tokens.store import TokenScope
from crypto_core.envelope import Format
from crypto_core.lists.coverage import Evidence
from crypto_core.lists.paging import Query
from crypto_core.reencryption.plan import Selection
from tests.crypto_core.statements import execute, scalar


def census_of(container: Container) -> Census:
    return take_census(container.engine, container.catalogue, AttributionCache(container.engine))


def counted(census: Census, key: Callable[[Any], Any]) -> dict[Any, int]:
    counts: Counter[Any] = Counter()
    for group in census.groups:
        counts[key(group)] += group.tokens
    return dict(counts)


def not_null(platform: Engine, table: str, column: str) -> int:
    return int(scalar(platform, f"SELECT count({column}) FROM {table}") or 0)


def test_the_totals_are_the_generators_numbers(services: Container, world: World) -> None:
    census = census_of(services)
    assert sum(group.tokens for group in census.groups) == len(world.tokens)
    assert counted(census, lambda g: g.format) == {f: n for f, n in world.by_format.items() if n}
    by_column: dict[str, dict[Format, int]] = {}
    for (column, format_), tokens in counted(census, lambda g: (g.column, g.format)).items():
        by_column.setdefault(column, {})[format_] = tokens
    assert by_column == world.by_column


def test_v1_tokens_fall_into_one_group_a_key_material(services: Container, world: World) -> None:
    groups = counted(census_of(services), lambda g: g.edk_prefix)
    groups.pop(None)
    assert sorted(groups.values()) == sorted(world.by_key.values())


def test_every_sample_is_a_token_of_its_group(services: Container, world: World) -> None:
    for group in census_of(services).groups:
        token = world.tokens[group.sample]
        assert (token.column, token.format) == (group.column, group.format)


def test_a_null_is_no_token_and_not_counted(services: Container, platform: Engine) -> None:
    before = counted(census_of(services), lambda g: g.column)["gh_connection.refresh_token"]
    assert before == not_null(platform, "gh_connection", "refresh_token")
    execute(platform, "UPDATE gh_connection SET refresh_token = NULL")
    assert "gh_connection.refresh_token" not in counted(census_of(services), lambda g: g.column)
    status = services.services.status.take_census()
    share = next(c for c in status.by_column if c.column == "gh_connection.refresh_token")
    assert share.tokens == 0
    assert services.services.inventory.count(Query("column:refresh_token table:gh_connection")) == 0


def test_an_empty_database_has_an_empty_census(services: Container, platform: Engine) -> None:
    with platform.begin() as connection:
        for table in ("gh_connection", "jira_connection", "slack_connection", "confluence_connection"):
            connection.execute(text(f"TRUNCATE {table}"))
    assert census_of(services).groups == ()
    status = services.services.status.take_census()
    assert (status.tokens, status.keys, status.well) == (0, (), True)


def test_without_any_token_table_the_census_is_empty(services: Container, platform: Engine) -> None:
    with platform.begin() as connection:
        for table in ("gh_connection", "jira_connection", "slack_connection", "confluence_connection"):
            connection.execute(text(f"DROP TABLE {table}"))
    assert census_of(services).groups == ()
    assert services.services.status.take_census().tokens == 0
    assert services.services.inventory.page(Query()).rows == ()
    assert services.services.inventory.count(Query("format:v1")) == 0


@pytest.mark.quick(1)
@pytest.mark.parametrize("read_only", [False, True])
def test_verifying_twice_counts_no_token_twice(
    services: Container, world: World, environment: dict[str, str], read_only: bool
) -> None:
    """In read-only mode answers are kept in memory, beside those in the table."""
    services.services.work.verify_tokens(Selection(everything=True))
    container = Container(load({"read_only": read_only}).settings)
    container.services.work.verify_tokens(Selection(everything=True))
    status = container.services.status.take_census()
    assert status.tokens == sum(share.tokens for share in status.by_column) == len(world.tokens)
    v1 = world.by_format[Format.V1]
    assert sum(share.tokens for share in status.keys) == v1
    assert container.services.inventory.count(Query("key:*")) == sum(
        s.tokens for s in status.keys if s.key_arn
    )
    assert {s.evidence for s in status.keys if s.key_arn} == {Evidence.VERIFIED}
    container.close()


class _Recording(psycopg2.extensions.cursor):
    """A cursor that keeps every row that was fetched through it."""

    rows: list[Any] = []  # noqa: RUF012  # shared by all cursors on purpose

    def fetchone(self) -> Any:
        row = super().fetchone()
        self.rows.append(row)
        return row

    def fetchmany(self, *arguments: Any) -> Any:
        rows = super().fetchmany(*arguments)
        self.rows.extend(rows)
        return rows

    def fetchall(self) -> Any:
        rows = super().fetchall()
        self.rows.extend(rows)
        return rows


@pytest.fixture
def fetched(services: Container) -> Iterator[list[Any]]:
    """Every row that the services' engine fetches during the test."""
    _Recording.rows = []

    def record(_dialect: object, _record: object, _arguments: object, parameters: dict[str, Any]) -> None:
        parameters["cursor_factory"] = _Recording

    services.engine.dispose()
    event.listen(services.engine, "do_connect", record)
    yield _Recording.rows
    event.remove(services.engine, "do_connect", record)


@pytest.fixture
def stored(platform: Engine) -> set[str]:
    """Every value in a token column of the test's database."""
    values: set[str] = set()
    with platform.connect() as connection:
        for table, column in (
            ("gh_connection", "access_token"),
            ("gh_connection", "refresh_token"),
            ("jira_connection", "access_token"),
            ("jira_connection", "refresh_token"),
            ("slack_connection", "bot_token"),
            ("confluence_connection", "access_token"),
        ):
            values |= {v for (v,) in connection.execute(text(f"SELECT {column} FROM {table}")) if v}
    return values


def leaks(rows: list[Any], stored: set[str]) -> list[Any]:
    """Rows that hold a token value, or plaintext."""

    def tells(value: object) -> bool:
        shown = bytes(value).decode("latin-1") if isinstance(value, bytes | memoryview) else str(value)
        return MARKER in shown or shown in stored or any(v in shown for v in stored if len(v) > 40)

    return [row for row in rows if row is not None and any(map(tells, row))]


def test_the_census_fetches_no_token_value(services: Container, fetched: list[Any], stored: set[str]) -> None:
    census_of(services)
    assert len(fetched) > 10
    assert leaks(fetched, stored) == []


@pytest.mark.quick(1)
@pytest.mark.parametrize("sort", SortKey)
def test_the_inventory_fetches_no_token_value(
    services: Container, fetched: list[Any], stored: set[str], sort: SortKey
) -> None:
    inventory = services.services.inventory
    for filter_ in ("", "key:unknown", "org-", "-format:v1 characters:>1", f'"{MARKER}"'):
        page = inventory.page(Query(filter_, sort), limit=500)
        inventory.count(Query(filter_, sort))
    assert page.rows == ()
    assert len(fetched) > len(stored)
    assert leaks(fetched, stored) == []


def test_reading_tokens_would_be_noticed(services: Container, fetched: list[Any], stored: set[str]) -> None:
    next(services.store.pages(TokenScope()))
    assert leaks(fetched, stored)

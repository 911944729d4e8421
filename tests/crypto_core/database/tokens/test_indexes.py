"""Indexes that are offered: PostgreSQL takes them, and they are what the lists are sorted by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine, text

from console.container import Container
from crypto_core.database.tokens.inventory import SortKey
from crypto_core.database.tokens.orders import offered
from crypto_core.lists.paging import Query
from tests.crypto_core.statements import execute, sent_by


@pytest.mark.parametrize("nullable", [False, True], ids=["never NULL", "may be NULL"])
@pytest.mark.parametrize(("sort", "name"), [(SortKey.CREATED, "created"), (SortKey.ORGANISATION, "org")])
def test_a_list_is_read_through_the_index_that_is_offered_for_it(
    services: Container,
    platform: Engine,
    superuser: Engine,
    monkeypatch: pytest.MonkeyPatch,
    sort: SortKey,
    name: str,
    nullable: bool,
) -> None:
    monkeypatch.setattr("crypto_core.database.tokens.survey.Survey.VALUES", 0)
    if nullable:
        with platform.begin() as connection:
            for column in ("org_id", "created_at"):
                connection.execute(text(f"ALTER TABLE gh_connection ALTER {column} DROP NOT NULL"))
    statements = list(offered(services.catalogue.refresh().tables))
    assert len(statements) == 11
    with platform.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for statement in statements:
            connection.execute(text(statement))
    inventory = services.services.inventory
    first = inventory.page(Query(sort=sort), limit=5)
    with sent_by(services.engine) as sent:
        inventory.page(Query(sort=sort), first.last, limit=5)
    (statement, parameters), *_ = [s for s in sent if "ORDER BY" in s[0] and "gh_connection.access" in s[0]]
    with superuser.connect() as connection:
        # So few rows are read faster without: what is asked is whether the index can give them in order.
        for way in ("seqscan", "bitmapscan", "sort"):
            connection.execute(text(f"SET LOCAL enable_{way} = off"))
        plan = connection.exec_driver_sql(f"EXPLAIN {statement}", parameters).scalars().all()
    assert f"keydeck_gh_connection_{name}" in " ".join(plan)
    assert not any("Sort" in line for line in plan), plan


def test_init_prints_the_indexes_and_makes_none(keydeck: Callable[..., Any], superuser: Engine) -> None:
    count = text("SELECT count(*) FROM pg_indexes WHERE schemaname <> 'pg_catalog'")
    with superuser.connect() as connection:
        before = connection.scalar(count)
    ran = keydeck("init", "--indexes")
    assert ran.exit_code == 0
    assert ran.stdout.count("CREATE INDEX CONCURRENTLY IF NOT EXISTS") == len(ran.stdout.splitlines()) == 11
    with superuser.connect() as connection:
        assert connection.scalar(count) == before
    assert keydeck("init", "--indexes", "--sql").exit_code == 2


def test_no_index_is_offered_that_could_not_serve(services: Container, platform: Engine) -> None:
    execute(
        platform,
        "ALTER TABLE slack_connection ALTER created_at TYPE date",
        "ALTER TABLE slack_connection ALTER org_id TYPE integer USING 1",
    )
    assert not [s for s in offered(services.catalogue.refresh().tables) if "slack_connection" in s]

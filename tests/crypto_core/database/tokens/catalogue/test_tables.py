"""Catalogue: which tables and columns a database really offers, and by which ids."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy import Engine, text

from console.container import Container
from console.sandbox.postgres import OPERATOR
from console.sandbox.world import World
from crypto_core.database.tokens.catalogue import LiveCatalogue
from crypto_core.database.tokens.tables import PLATFORM_TABLES, TokenTable
from crypto_core.lists.paging import Query
from crypto_core.values.errors import InvalidReferenceError
from crypto_core.values.references import TokenRef
from tests.crypto_core.statements import execute


def test_the_platforms_tables_are_all_offered(services: Container) -> None:
    catalogue = services.catalogue()
    assert [str(c) for c in catalogue.columns] == [
        "gh_connection.access_token",
        "gh_connection.refresh_token",
        "jira_connection.access_token",
        "jira_connection.refresh_token",
        "slack_connection.bot_token",
        "confluence_connection.access_token",
        "connectors.secret_json",
        "mcp_servers.secret_json",
    ]
    assert tuple(replace(table, found_in=None) for table in catalogue.tables) == PLATFORM_TABLES
    assert catalogue.unreadable == ()
    assert catalogue.unwritable == {}


def test_a_table_that_is_not_there_is_not_offered(
    services: Container, platform: Engine, world: World
) -> None:
    execute(platform, "DROP TABLE jira_connection", "ALTER TABLE gh_connection DROP COLUMN refresh_token")
    status = services.services.status.take_census()
    assert {c.column for c in status.by_column} == {
        "gh_connection.access_token",
        "slack_connection.bot_token",
        "confluence_connection.access_token",
        "connectors.secret_json",
        "mcp_servers.secret_json",
    }
    assert status.coverage.complete
    assert status.tokens == world.rows["gh_connection"] + 18 + 12
    with pytest.raises(InvalidReferenceError, match="no token table 'jira_connection'") as caught:
        services.catalogue().table("jira_connection")
    assert "gh_connection" in caught.value.remedy


def test_a_shown_column_that_is_missing_or_unreadable_is_left_out(
    services: Container, platform: Engine
) -> None:
    execute(
        platform,
        "ALTER TABLE slack_connection DROP COLUMN created_at",
        f"REVOKE SELECT ON slack_connection FROM {OPERATOR}",
        f"GRANT SELECT (id, bot_token, updated_at) ON slack_connection TO {OPERATOR}",
    )
    services.catalogue.refresh()
    row = services.services.inventory.row(TokenRef("slack_connection", "bot_token", "1"))
    assert [name for name, _ in row.shown] == ["updated_at"]
    assert (row.organisation, row.created_at) == ("", None)


def test_a_table_without_anything_to_show_is_listed(services: Container, platform: Engine) -> None:
    execute(
        platform,
        f"REVOKE SELECT ON slack_connection FROM {OPERATOR}",
        f"GRANT SELECT (id, bot_token) ON slack_connection TO {OPERATOR}",
    )
    services.catalogue.refresh()
    page = services.services.inventory.page(Query("table:slack_connection"))
    assert len(page.rows) == 18
    assert {row.shown for row in page.rows} == {()}
    assert services.services.inventory.count(Query("xoxb")) == 0


def test_a_table_in_the_way_of_a_names_case_is_found_only_by_its_exact_name(
    services: Container, platform: Engine
) -> None:
    execute(platform, 'CREATE TABLE "Gh_Connection" (id text PRIMARY KEY, access_token text)')
    table = TokenTable("Gh_Connection", "id", "text", ("access_token",), (), "x", None)
    catalogue = LiveCatalogue(services.engine, [table, *PLATFORM_TABLES])()
    assert [t.name for t in catalogue.tables][:2] == ["Gh_Connection", "gh_connection"]


UNIDENTIFIED = {
    "no index at all": ("CREATE TABLE {} (id bigint NOT NULL, token text)",),
    "may be NULL": ("CREATE TABLE {} (id bigint UNIQUE, token text)",),
    "unique with another column": (
        "CREATE TABLE {} (id bigint, part int, token text, PRIMARY KEY (id, part))",
    ),
    "unique in a part of the table": (
        "CREATE TABLE {} (id bigint NOT NULL, token text)",
        "CREATE UNIQUE INDEX ON {} (id) WHERE id > 0",
    ),
    "an index that is not unique": (
        "CREATE TABLE {} (id bigint NOT NULL, token text)",
        "CREATE INDEX ON {} (id)",
    ),
    "unique by what is computed": (
        "CREATE TABLE {} (id bigint NOT NULL, token text)",
        "CREATE UNIQUE INDEX ON {} (abs(id))",
    ),
}


@pytest.mark.parametrize("statements", UNIDENTIFIED.values(), ids=UNIDENTIFIED)
def test_a_table_whose_ids_may_occur_twice_is_not_offered_and_told(
    with_tables: Callable[[str], Container], platform: Engine, world: World, statements: tuple[str, ...]
) -> None:
    execute(platform, *(statement.format("twice") for statement in statements))
    execute(platform, "INSERT INTO twice (id, token) SELECT 1, 'ghp_1' WHERE false")
    container = with_tables(
        '[[tables]]\nname = "twice"\nid_kind = "integer"\ntoken_columns = ["token"]\nprovider = "github"\n'
    )
    assert "twice" not in {c.table for c in container.catalogue().columns}
    (gap,) = container.catalogue().gaps
    assert gap.startswith("twice.token is not offered: twice.id may be NULL or occur twice.")
    assert "unique index on id alone, and NOT NULL" in gap
    status = container.services.status.take_census()
    assert status.tokens == len(world.tokens)
    assert gap in status.coverage.reasons
    with pytest.raises(InvalidReferenceError, match=r"twice\.id may be NULL or occur twice"):
        container.services.inventory.row(TokenRef("twice", "token", "1"))


@pytest.mark.parametrize(
    "index", ["PRIMARY KEY", "NOT NULL UNIQUE", "NOT NULL UNIQUE DEFERRABLE INITIALLY DEFERRED"]
)
def test_any_unique_index_over_the_id_alone_will_do(
    with_tables: Callable[[str], Container], platform: Engine, index: str
) -> None:
    execute(platform, f"CREATE TABLE once (id bigint {index}, token text)")
    execute(platform, "INSERT INTO once VALUES (1, 'ghp_1')")
    container = with_tables(
        '[[tables]]\nname = "once"\nid_kind = "integer"\ntoken_columns = ["token"]\nprovider = "github"\n'
    )
    assert container.catalogue().gaps == ()
    assert container.services.inventory.count(Query("table:once")) == 1


@pytest.mark.deep
def test_rows_with_ids_of_any_type_are_paged_through(
    with_tables: Callable[[str], Container], platform: Engine
) -> None:
    """Text in the column's own collation; uuid, which has no greatest in SQL."""
    execute(
        platform,
        'CREATE TABLE words (id text COLLATE "pg_unicode_fast" PRIMARY KEY, token text)',
        "CREATE TABLE uuids (id uuid PRIMARY KEY, token text)",
        "INSERT INTO words SELECT w, 'ghp_' || w FROM unnest('{b,B,a,A,ä,Z,z,é,e,\"a b\",_}'::text[]) w",
        "INSERT INTO uuids SELECT gen_random_uuid(), 'ghp_1' FROM generate_series(1, 12)",
    )
    container = with_tables(
        "\n".join(
            f'[[tables]]\nname = "{name}"\ntoken_columns = ["token"]\nprovider = "x"\n'
            for name in ("words", "uuids")
        )
    )
    inventory = container.services.inventory
    with platform.connect() as connection:
        words = connection.scalars(text("SELECT id FROM words ORDER BY id")).all()
    for sort in ("", "reference", "key", "created", "characters"):
        query = Query("provider:x", sort)
        whole = [row.ref for row in inventory.page(query).rows]
        assert len(whole) == 23
        if sort in ("", "reference"):
            assert [ref.row_id for ref in whole if ref.table == "words"] == words
        for backwards in (False, True):
            found: list[TokenRef] = []
            start = None
            while True:
                page = inventory.page(query, start, backwards=backwards, limit=3)
                refs = [row.ref for row in page.rows]
                found = refs + found if backwards else found + refs
                start = page.first if backwards else page.last
                if not (page.above if backwards else page.below):
                    break
            assert found == whole
    some = next(ref for ref in whole if ref.table == "uuids")
    assert inventory.count(Query(f"id:{some.row_id.upper()}")) == 1
    assert inventory.count(Query("table:uuids id:nonsense")) == 0
    assert inventory.count(Query("table:words id:A")) == 2

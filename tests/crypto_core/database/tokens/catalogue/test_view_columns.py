"""Of a view over one table the columns name one row that do so in the table; of any other view none does."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import Engine

from console.container import Container
from crypto_core.database.tokens.catalogue import Catalogue

ENTRY = """
[[tables]]
name = "asked"
id = "number"
id_kind = "integer"
token_columns = ["token"]
provider = "github"
"""
TABLES = """
CREATE TABLE hidden (id int PRIMARY KEY, token text, note text, other int NOT NULL DEFAULT 1);
CREATE TABLE parent (id int PRIMARY KEY, token text);
CREATE TABLE child () INHERITS (parent);
CREATE VIEW seen AS SELECT id AS number, token FROM hidden;
"""
OFFERED = {
    "all of its columns": "SELECT note, other, id AS number, token FROM hidden",
    "some rows": "SELECT token, id AS number FROM hidden WHERE id > 3",
    "hostile names": """SELECT id AS number, note AS ":resno 1 :resname id :ressortgroupref 0", token
                        FROM hidden""",
    "what is computed besides": "SELECT upper(note) AS loud, token, id AS number FROM hidden",
}
NOT_OFFERED = {
    "a join": "SELECT h.id AS number, h.token FROM hidden h JOIN hidden o USING (id)",
    "a computed id": "SELECT id + 1 AS number, token FROM hidden",
    "another column": "SELECT length(note) AS number, token FROM hidden",
    "one that isn't unique": "SELECT other AS number, token FROM hidden",
    "a union": "SELECT id AS number, token FROM hidden UNION ALL SELECT id, token FROM hidden",
    "a query within": "SELECT other AS number, token, (SELECT id FROM hidden LIMIT 1) AS more FROM hidden",
    "a view": "SELECT number, token FROM seen",
    "a table with children": "SELECT id AS number, token FROM parent",
    "an id that is shown twice": "SELECT *, id AS number FROM hidden",
    "rows of a set": "SELECT id AS number, token FROM hidden ORDER BY id LIMIT 3",
}


@pytest.fixture
def catalogue(with_tables: Callable[[str], Container], superuser: Engine) -> Callable[[str], Catalogue]:
    def make(query: str) -> Catalogue:
        with superuser.begin() as connection:
            connection.exec_driver_sql(TABLES)
            connection.exec_driver_sql(
                f"CREATE VIEW asked AS {query}; GRANT SELECT, UPDATE ON asked TO PUBLIC"
            )
        return with_tables(ENTRY).catalogue()

    return make


@pytest.mark.parametrize("query", OFFERED.values(), ids=OFFERED)
def test_a_view_that_shows_the_id_of_its_table_is_offered(
    catalogue: Callable[[str], Catalogue], query: str
) -> None:
    found = catalogue(query)
    assert found.unsupported == ()
    assert found.table("asked").token_columns == ("token",)


@pytest.mark.parametrize("query", NOT_OFFERED.values(), ids=NOT_OFFERED)
def test_a_view_whose_id_may_name_several_rows_is_not_offered(
    catalogue: Callable[[str], Catalogue], query: str
) -> None:
    assert [str(one.column) for one in catalogue(query).unsupported] == ["asked.token"]

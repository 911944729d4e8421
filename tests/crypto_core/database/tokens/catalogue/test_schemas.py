"""Catalogue: tables that are described with a schema, or with a pattern of schemas."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import Engine, text

from console.container import Container
from console.sandbox.postgres import OPERATOR
from console.sandbox.world import World
from crypto_core.database.column_guards.guard_states import read_guards
from crypto_core.database.connection.engine import connected
from crypto_core.database.role_grants import role_grants
from crypto_core.database.tokens.attached_code import write_obstacles
from crypto_core.database.tokens.orders import offered
from crypto_core.diagnosis.check import CheckOutcome
from crypto_core.diagnosis.token_columns import token_columns
from crypto_core.guard.operations import KeydeckRole
from crypto_core.lists.paging import Query
from crypto_core.values.errors import InvalidReferenceError
from crypto_core.values.references import RowRef, TokenRef, parse_reference

PLAINTEXT = "ghp_0123456789abcdefghijABCDEFGHIJ012345"
NOTES = """
[[tables]]
name = "notes"
schema = "{schema}"
token_columns = ["token", "other"]
shown = ["org", "created_at"]
organisation = "org"
provider = "github"
"""
BOTH = "token text, other text"
HOSTILE = 'he said "stop"; -- %s :x %(y)s\u202e.\x1b[1m'


def make(
    superuser: Engine, schema: str, columns: str = "token text, other text", *, usage: bool = True
) -> None:
    """Make a schema with a table of that many columns, and a token in each row of three."""
    quoted = '"' + schema.replace('"', '""') + '"'
    statements = [
        f"CREATE SCHEMA IF NOT EXISTS {quoted}",
        f"""CREATE TABLE {quoted}.notes
            (id text PRIMARY KEY, org text, created_at timestamptz NOT NULL, {columns})""",
        f"""INSERT INTO {quoted}.notes (id, org, created_at, token)
            SELECT n, 'acme', now(), '{PLAINTEXT}' FROM generate_series(1, 3) AS n""",
        f"GRANT SELECT, UPDATE ON {quoted}.notes TO {OPERATOR}",
        *([f"GRANT USAGE ON SCHEMA {quoted} TO {OPERATOR}"] if usage else []),
    ]
    with superuser.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement, execution_options={"no_parameters": True})


def run(superuser: Engine, *statements: str) -> None:
    with superuser.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


@pytest.fixture
def tenants(
    with_tables: Callable[[str], Container], services: Container, superuser: Engine
) -> Callable[[str], Container]:
    """Services over tables `notes` in schemas t_a and t_b, as an entry with this schema describes them."""
    make(superuser, "t_a")
    make(superuser, "t_b")
    return lambda schema: with_tables(NOTES.format(schema=schema))


def test_each_schema_that_matches_gives_a_table(
    tenants: Callable[[str], Container], superuser: Engine, world: World
) -> None:
    container = tenants("t_*")
    make(superuser, HOSTILE)
    make(superuser, f"t_{HOSTILE}")
    odd = "t_he%20said%20%22stop%22%3B%20--%20%25s%20%3Ax%20%25%28y%29s%E2%80%AE%2E%1B%5B1m.notes"
    status = container.services.status.take_census()
    counted = {c.column: c.tokens for c in status.by_column if c.column.endswith(".notes.token")}
    assert counted == {"t_a.notes.token": 3, "t_b.notes.token": 3, f"{odd}.token": 3}
    assert status.tokens == len(world.tokens) + 9
    # The one that doesn't match is found by the sweep, and named.
    assert sum("is in no inventory" in reason for reason in status.coverage.reasons) == 1
    assert all(reason.isprintable() for reason in status.coverage.reasons)
    for name in ("t_a.notes", odd):
        for reference in (f"{name}.token:2", f"{name}.*:2"):
            refs = container.catalogue().references(parse_reference(reference))
            assert refs[0] == TokenRef(name, "token", "2")
            assert parse_reference(str(refs[0])) == refs[0]
        assert str(RowRef(name, "2")) == f"{name}.*:2"
        assert container.inventory.count(Query(f"table:{name}")) == 3
        assert container.inventory.row(refs[0]).organisation == "acme"
    assert container.inventory.count(Query("table:t_a.*")) == 3
    with pytest.raises(InvalidReferenceError, match="There is no token table 'notes'"):
        container.catalogue().references(TokenRef("notes", "token", "2"))
    # Whatever else is asked of PostgreSQL's catalogue finds them too.
    catalogue = container.catalogue()
    names = {guard.place for guard in read_guards(container.engine, catalogue) if "notes" in guard.place}
    assert {"t_a.notes", "t_b.notes"} < names
    assert len(names) == 3
    grants = role_grants(container.engine, catalogue.tables, KeydeckRole.INSPECTOR, OPERATOR)
    assert any("SELECT (id, token, other, org, created_at) ON t_a.notes " in grant for grant in grants)
    assert any(" ON t_a.notes ((created_at), id)" in index for index in offered(catalogue.tables))
    run(
        superuser,
        "CREATE FUNCTION cut() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
        "CREATE TRIGGER cuts BEFORE UPDATE ON t_b.notes FOR EACH ROW EXECUTE FUNCTION cut()",
    )
    run(superuser, f"REVOKE ALL ON ALL TABLES IN SCHEMA t_b FROM {OPERATOR}")
    with superuser.begin() as connection:
        hostile = '"t_' + HOSTILE.replace('"', '""') + '"'
        revoke = f"REVOKE ALL ON {hostile}.notes FROM {OPERATOR}"
        connection.exec_driver_sql(revoke, execution_options={"no_parameters": True})
    narrowed = container.catalogue.refresh()
    assert len(narrowed.unreadable) == len(narrowed.unwritable) == 4
    assert all(told.grant.isprintable() for told in narrowed.unreadable)
    assert all(grant.isprintable() for grant in (*narrowed.unwritable.values(), *narrowed.gaps))
    with connected(container.engine) as connection:
        assert write_obstacles(connection, catalogue.table("t_a.notes"), "token") == ()
        (told,) = write_obstacles(connection, catalogue.table("t_b.notes"), "token")
        assert "trigger cuts" in told


def test_what_is_missing_or_cannot_be_read_takes_nothing_else_down(
    tenants: Callable[[str], Container], superuser: Engine
) -> None:
    container = tenants("t_*")
    assert container.catalogue().gaps == ()
    make(superuser, "t_c", "token text")
    make(superuser, "t_d", usage=False)
    make(superuser, "t_e")
    run(
        superuser,
        "CREATE SCHEMA t_f",
        'CREATE SCHEMA "t_g\u202e"',
        f"REVOKE ALL ON t_e.notes FROM {OPERATOR}",
    )
    status = container.services.status.take_census()
    assert {c.column: c.tokens for c in status.by_column if ".notes.token" in c.column} == {
        "t_a.notes.token": 3,
        "t_b.notes.token": 3,
        "t_c.notes.token": 3,
    }
    gaps = container.catalogue().gaps
    use = f"GRANT USAGE ON SCHEMA t_d TO {OPERATOR}; GRANT"
    assert gaps == (
        f"t_d.notes.token can't be read. Needed: {use} SELECT (id, token) ON t_d.notes TO {OPERATOR}",
        f"t_d.notes.other can't be read. Needed: {use} SELECT (id, other) ON t_d.notes TO {OPERATOR}",
        f"t_e.notes.token can't be read. Needed: GRANT SELECT (id, token) ON t_e.notes TO {OPERATOR}",
        f"t_e.notes.other can't be read. Needed: GRANT SELECT (id, other) ON t_e.notes TO {OPERATOR}",
        "There is no table notes in t_f, t_g, where schema = t_* describes one.",
        "There is no column other in t_c.notes.",
    )
    assert not status.coverage.complete
    assert set(gaps) <= set(status.coverage.reasons)
    checks = token_columns(container.engine, container.settings.all_tables, area="database", read_only=False)
    failed = [check.said for check in checks if check.outcome is CheckOutcome.FAILED]
    assert gaps[-2] in failed
    run(superuser, "DROP SCHEMA t_a CASCADE")
    assert "t_a.notes" in {t.name for t in container.catalogue().tables}
    assert "t_a.notes" not in {t.name for t in container.catalogue.refresh().tables}


def test_tables_are_counted_together_only_if_they_are_alike(
    tenants: Callable[[str], Container], superuser: Engine
) -> None:
    container = tenants("t_*")
    for schema, columns in {
        "t_c": "token bytea, other jsonb",
        "t_d": "token bytea, other jsonb",
        "t_e": "token varchar, other bytea",
    }.items():
        make(superuser, schema, columns)
    run(
        superuser,
        """UPDATE t_c.notes SET other = '"xoxb-1-2-abc"' WHERE id < '3'""",
        "UPDATE t_e.notes SET other = 'xoxb-1-2-abc' WHERE id = '1'",
        "ALTER TABLE t_b.notes ALTER id TYPE bigint USING id::bigint",
    )
    status = container.services.status.take_census()
    counted = {c.column: c.tokens for c in status.by_column if ".notes." in c.column and c.tokens}
    tokens = {f"t_{schema}.notes.token": 3 for schema in "abcde"}
    assert counted == tokens | {"t_c.notes.other": 2, "t_e.notes.other": 1}
    assert container.inventory.count(Query("table:t_*")) == 18


@pytest.mark.parametrize(
    ("schema", "gap"),
    [
        ("nowhere_*", "No schema matches nowhere_*: no table notes is counted there."),
        ("nowhere", "There is no schema nowhere: no table notes is counted there."),
        ("keydeck", "There is no schema keydeck: no table notes is counted there."),
    ],
)
def test_a_pattern_that_matches_nothing_is_a_gap(
    tenants: Callable[[str], Container], schema: str, gap: str
) -> None:
    assert tenants(schema).catalogue().gaps[0] == gap


def test_one_place_is_counted_once_under_its_whole_name(
    with_tables: Callable[[str], Container], services: Container, superuser: Engine, world: World
) -> None:
    run(
        superuser,
        "CREATE SCHEMA t_a",
        "CREATE TABLE t_a.gh_connection (LIKE public.gh_connection INCLUDING ALL)",
        f"GRANT USAGE ON SCHEMA t_a TO {OPERATOR}",
        f"GRANT SELECT, UPDATE ON t_a.gh_connection TO {OPERATOR}",
        "INSERT INTO t_a.gh_connection SELECT * FROM public.gh_connection ORDER BY id LIMIT 2",
    )
    there = {c.column for c in services.services.status.take_census().by_column}
    assert "are not counted: t_a.gh_connection." in " ".join(services.catalogue().gaps)
    entry = '[[tables]]\nname = "gh_connection"\nschema = "t_*"\n'
    container = with_tables(entry)
    status = container.services.status.take_census()
    columns = {"gh_connection.access_token", "gh_connection.refresh_token"}
    assert {c.column for c in status.by_column} == there | {f"t_a.{column}" for column in columns}
    assert container.catalogue().gaps == ()
    assert container.catalogue().table("t_a.gh_connection").provider == "github"
    # Two patterns that match it, and the search path that finds another: each place is one table.
    public = entry.replace("t_*", "public") + 'provider = "chat"\n'
    both = with_tables(entry + public + entry.replace("t_*", "*a*"))
    status = both.services.status.take_census()
    assert {c.column for c in status.by_column if "gh_connection" in c.column} == {
        f"{schema}.{column}" for schema in ("t_a", "public") for column in columns
    }
    copied = [r for page in both.inventory.references("table:t_a.gh_connection") for r in page]
    assert len(copied) in range(2, 5)
    assert status.tokens == len(world.tokens) + len(copied)


def test_discover_proposes_what_then_is_no_longer_undeclared(
    tenants: Callable[[str], Container], services: Container
) -> None:
    found = services.sweeps.take_sweep().found
    assert [(t.schema, t.name) for t in found] == [("t_a", "notes"), ("t_b", "notes")]
    sweep = tenants("t_*").sweeps.take_sweep()
    assert sweep.found == ()
    assert [(t.schema, t.name) for t in tenants("t_b").sweeps.take_sweep().found] == [("t_a", "notes")]

"""Objects that the platform's role puts where names are looked up: none runs, and every count stays true."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from sqlalchemy import Engine, create_engine, text

from console.container import Container
from console.sandbox.postgres import OPERATOR
from console.sandbox.world import World
from crypto_core.lists.paging import Query
from crypto_core.values.errors import KeydeckError
from crypto_core.values.references import TokenRef
from tests.conftest import Ran
from tests.crypto_core.statements import execute
from tests.own_path import pinned

TEXTS = ("text", "varchar")
LIES = (
    *(f"octet_length({t}) RETURNS integer" for t in TEXTS),
    *(f"length({t}) RETURNS integer" for t in TEXTS),
    *(f"concat({t}) RETURNS text" for t in TEXTS),
    *(f"lower({t}) RETURNS text" for t in TEXTS),
    *(f"sha256({t}) RETURNS bytea" for t in TEXTS),
    *(f"starts_with({t}, {u}) RETURNS boolean" for t in TEXTS for u in TEXTS),
    *(f"left({t}, integer) RETURNS text" for t in TEXTS),
    *(f"right({t}, integer) RETURNS text" for t in TEXTS),
    *(f"substr({t}, integer, integer) RETURNS text" for t in TEXTS),
    *(f"substr({t}, integer) RETURNS text" for t in TEXTS),
    *(f"convert_to({t}, {u}) RETURNS bytea" for t in TEXTS for u in (*TEXTS, "name")),
    *(f"set_config({t}, {u}, boolean) RETURNS text" for t in TEXTS for u in TEXTS),
    *(f"current_setting({t}) RETURNS text" for t in TEXTS),
    "current_schema() RETURNS name",
    "current_database() RETURNS name",
    "count(text) RETURNS bigint",
    "quote_ident(name) RETURNS text",
    "now() RETURNS timestamptz",
    "clock_timestamp() RETURNS timestamptz",
)
"""Functions that fit what Keydeck calls as well as PostgreSQL's own, or better."""
OPERATORS = ("=", "<>", "<", "~", "^@", "||", "~~", ">=", "<=", ">")


@dataclass(frozen=True, slots=True)
class Intruder:
    """The platform's role, who owns the tables and schema public."""

    platform: Engine
    superuser: Engine

    def run(self, *statements: str) -> None:
        with self.platform.begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)

    def plant(self, schema: str) -> None:
        """Put a function or an operator beside each of PostgreSQL's; whichever runs leaves a mark."""
        body = "LANGUAGE plpgsql AS 'BEGIN PERFORM pg_catalog.nextval(''public.ran''); RETURN NULL; END'"
        for lie in LIES:
            if "unknown_right" not in lie:
                self.run(f"CREATE FUNCTION {schema}.{lie} {body}")
        for left in TEXTS:
            for right in TEXTS:
                name = f"{schema}.compared_{left}_{right}"
                self.run(f"CREATE FUNCTION {name}({left}, {right}) RETURNS boolean {body}")
                for operator in OPERATORS:
                    self.run(
                        f"CREATE OPERATOR {schema}.{operator}"
                        f" (LEFTARG = {left}, RIGHTARG = {right}, FUNCTION = {name})"
                    )

    @property
    def ran(self) -> bool:
        """True once one of them has run."""
        with self.superuser.connect() as connection:
            return bool(connection.exec_driver_sql("SELECT is_called FROM public.ran").scalar_one())


@pytest.fixture
def intruder(platform: Engine, superuser: Engine) -> Iterator[Intruder]:
    one = Intruder(create_engine(platform.url), create_engine(superuser.url))
    execute(
        superuser,
        "GRANT CREATE ON SCHEMA public TO platform",
        f"CREATE SCHEMA {OPERATOR} AUTHORIZATION platform",
        f"GRANT USAGE ON SCHEMA {OPERATOR} TO PUBLIC",
    )
    one.run(
        "CREATE SEQUENCE public.ran",
        "GRANT USAGE, UPDATE, SELECT ON SEQUENCE public.ran TO PUBLIC",
        *(
            f"ALTER TABLE public.{table} ALTER {column} TYPE varchar"
            for table, column in (
                ("gh_connection", "access_token"),
                ("gh_connection", "refresh_token"),
                ("jira_connection", "access_token"),
                ("gh_connection", "org_id"),
                ("gh_connection", "id"),
            )
        ),
    )
    with pinned():
        yield one
    one.platform.dispose()
    one.superuser.dispose()


@pytest.mark.deep
@pytest.mark.parametrize("schema", ["public", OPERATOR])
def test_what_the_platforms_role_plants_never_runs_and_every_count_stays_true(
    intruder: Intruder, services: Container, keydeck: Callable[..., Ran], world: World, schema: str
) -> None:
    before = keydeck("status", "--json").json
    intruder.plant(schema)
    after = keydeck("status", "--json").json
    for part in ("tokens", "by_format", "by_column", "coverage"):
        assert after[part] == before[part]
    assert after["tokens"] == len(world.tokens)
    ref = next(ref for ref in world.sealed_under(world.old_key) if ref.table == "gh_connection")
    assert keydeck("inspect", str(ref), "--json").json["format"] == "v1"
    listed = services.inventory.count(Query(f"key:{world.old_key.arn}"))
    assert (
        listed
        == len(world.sealed_under(world.old_key))
        == services.inventory.count(Query(f"key:{world.old_key.arn} provider:*"))
    )
    assert keydeck("keys", "disable", world.old_key.arn, "--dry-run").exit_code != 0
    services.sweeps.take_sweep(full=True)
    for command in (("doctor",), ("check",), ("connections", "--filter", "org:acme"), ("journal", "verify")):
        keydeck(*command)
    assert not intruder.ran
    # A write compares and stores what it would have without them.
    ran = keydeck("reencrypt", str(ref), "--to", world.current_key.arn, "--yes")
    assert ran.exit_code == 0, ran.stderr
    assert not intruder.ran
    assert services.store.read_token(TokenRef(ref.table, ref.column, ref.row_id)).digest


def test_a_superuser_who_only_reads_runs_nothing_either(
    intruder: Intruder,
    superuser: Engine,
    keydeck: Callable[..., Ran],
    world: World,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    intruder.plant("public")
    monkeypatch.setenv("DATABASE_URL", superuser.url.set(drivername="postgresql").render_as_string(False))
    status = keydeck("--read-only", "status", "--json")
    assert status.json["tokens"] == len(world.tokens)
    assert not intruder.ran


TRIGGERS = {
    "before each row": "BEFORE UPDATE ON gh_connection FOR EACH ROW",
    "after each row": "AFTER UPDATE ON gh_connection FOR EACH ROW",
    "before the statement": "BEFORE UPDATE ON gh_connection FOR EACH STATEMENT",
    "after the statement": "AFTER UPDATE ON gh_connection FOR EACH STATEMENT",
}


@pytest.mark.quick(1)
@pytest.mark.parametrize("when", [*TRIGGERS, "deferred"])
def test_the_platforms_triggers_run_on_their_own_search_path(
    services: Container, superuser: Engine, keydeck: Callable[..., Ran], world: World, when: str
) -> None:
    deferred = "AFTER UPDATE ON gh_connection DEFERRABLE INITIALLY DEFERRED FOR EACH ROW"
    kind = "CONSTRAINT TRIGGER" if when == "deferred" else "TRIGGER"
    execute(
        superuser,
        "CREATE TABLE audit (path text)",
        f"GRANT INSERT ON audit TO {OPERATOR}",
        "CREATE FUNCTION audited() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN INSERT INTO audit SELECT current_setting(''search_path''); RETURN NEW; END'",
        f"CREATE {kind} t {TRIGGERS.get(when, deferred)} EXECUTE FUNCTION audited()",
    )
    ref = next(ref for ref in world.sealed_under(world.old_key) if ref.table == "gh_connection")
    agreed = ("--yes", "--runs-code", "public.audited()")
    ran = keydeck("reencrypt", str(ref), "--to", world.current_key.arn, *agreed)
    assert ran.exit_code == 0, ran.stderr
    with superuser.connect() as connection:
        assert connection.scalars(text("SELECT path FROM audit")).all() == ['"$user", public']


def test_the_path_of_the_url_decides_which_tables_are_meant_and_is_dropped(
    superuser: Engine, database_url: str, keydeck: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    execute(
        superuser,
        "CREATE SCHEMA tenant",
        "CREATE TABLE tenant.gh_connection (LIKE gh_connection INCLUDING ALL)",
        "INSERT INTO tenant.gh_connection SELECT * FROM public.gh_connection ORDER BY id LIMIT 3",
        f"GRANT USAGE ON SCHEMA tenant TO {OPERATOR}",
        f"GRANT SELECT ON tenant.gh_connection TO {OPERATOR}",
    )

    def tokens() -> int:
        by_column = keydeck("status", "--json").json["by_column"]
        return sum(c["tokens"] for c in by_column if c["column"] == "gh_connection.access_token")

    everywhere = tokens()
    monkeypatch.setenv("DATABASE_URL", f"{database_url}&currentSchema=tenant")
    assert tokens() == 3
    monkeypatch.setenv("DATABASE_URL", f"{database_url}&search_path=nowhere,public,tenant")
    assert tokens() == everywhere > 3


def test_nothing_runs_outside_a_transaction_that_has_a_pinned_path(services: Container) -> None:
    with pinned(), services.engine.connect() as connection:
        driver = connection.connection.driver_connection
        cursor = connection.connection.cursor()
        with pytest.raises(NotImplementedError):
            cursor.callproc("now")
        cursor.close()
        connection.rollback()
        assert driver is not None
        driver.autocommit = True
        with pytest.raises(Exception, match="search path isn't pinned"):
            connection.exec_driver_sql("SELECT now()")
        driver.rollback()
        driver.autocommit = False


def test_each_way_of_running_a_statement_begins_with_the_pinned_path(services: Container) -> None:
    show = "SELECT current_setting('search_path')"
    with pinned(), services.engine.connect() as connection:
        raw = connection.connection
        for name in (None, "page"):
            cursor = raw.driver_connection.cursor(*([name] if name else []))  # type: ignore[union-attr]
            cursor.execute(show)
            assert cursor.fetchone() == ("pg_catalog, pg_temp",)
            cursor.close()
            raw.rollback()
        cursor = raw.cursor()
        cursor.executemany("SELECT set_config('app.seen', current_setting('search_path'), false)", [()])
        raw.commit()
        cursor.execute("SELECT current_setting('app.seen')")
        assert cursor.fetchone() == ("pg_catalog, pg_temp",)
        cursor.close()
        raw.rollback()


RUN = "LANGUAGE plpgsql AS 'BEGIN PERFORM pg_catalog.nextval(''public.ran''); RETURN NULL; END'"
OWN_TYPES = {
    "an enum": "CREATE TYPE own AS ENUM ('acme', 'other')",
    "a composite type": "CREATE TYPE own AS (a text, b text)",
}


@pytest.mark.deep
@pytest.mark.parametrize("of", [*OWN_TYPES])
def test_no_cast_runs_that_the_owner_of_a_columns_type_has_made(
    intruder: Intruder, services: Container, keydeck: Callable[..., Ran], world: World, of: str
) -> None:
    value = "'acme'" if of == "an enum" else "ROW('acme', repeat('ghp_', 20))"
    intruder.run(
        OWN_TYPES[of],
        f"ALTER TABLE gh_connection ALTER org_id TYPE own USING CAST({value} AS own)",
        f"ALTER TABLE jira_connection ADD extra own DEFAULT CAST({value} AS own)",
        f"CREATE TABLE others (id own PRIMARY KEY, listed own[] DEFAULT ARRAY[CAST({value} AS own)])",
        f"INSERT INTO others VALUES (CAST({value} AS own))",
        f"CREATE FUNCTION cast_own(own) RETURNS text {RUN}",
        f"CREATE FUNCTION cast_list(own[]) RETURNS text {RUN}",
        "CREATE CAST (own AS text) WITH FUNCTION cast_own(own) AS IMPLICIT",
        "CREATE CAST (own[] AS text) WITH FUNCTION cast_list(own[]) AS IMPLICIT",
        f"GRANT SELECT ON others TO {OPERATOR}",
    )
    services.catalogue.refresh()
    assert keydeck("status", "--json").json["tokens"] == len(world.tokens)
    rows = services.inventory.page(Query("org:acme*")).rows
    listed = keydeck("connections", "--filter", "table:gh_connection", "--json")
    assert listed.exit_code in (0, 1), listed.stderr
    services.sweeps.take_sweep(full=True)
    ref = next(ref for ref in world.sealed_under(world.old_key) if ref.table == "gh_connection")
    agreed = ("--runs-code", "public.cast_own(public.own)", "--runs-code", "public.cast_list(public.own[])")
    ran = keydeck("reencrypt", str(ref), "--to", world.current_key.arn, "--yes", *agreed)
    assert ran.exit_code == 0, ran.stderr
    assert not intruder.ran
    assert of == "a composite type" or rows


def test_a_table_whose_ids_have_a_type_of_its_owners_is_not_offered_and_said_so(
    intruder: Intruder, services: Container, keydeck: Callable[..., Ran]
) -> None:
    intruder.run(
        "CREATE DOMAIN plain AS text",
        "CREATE TYPE own AS (a text)",
        "ALTER TABLE jira_connection ALTER id TYPE plain",
        "ALTER TABLE gh_connection ALTER id TYPE own USING ROW(id)::own",
        f"CREATE FUNCTION cast_own(own) RETURNS text {RUN}",
        "CREATE CAST (own AS text) WITH FUNCTION cast_own(own) AS IMPLICIT",
    )
    status = keydeck("status", "--json").json
    reasons = [r for r in status["coverage"]["reasons"] if "which isn't PostgreSQL's own" in r]
    assert len(reasons) == 2
    assert not status["coverage"]["complete"]
    assert any(c["column"] == "jira_connection.access_token" for c in status["by_column"])
    assert not intruder.ran


def test_types_and_collations_named_like_postgresqls_change_nothing(
    intruder: Intruder, keydeck: Callable[..., Ran], world: World
) -> None:
    keydeck("init")
    before = keydeck("status", "--json").json
    intruder.run(
        'CREATE COLLATION public."C" FROM pg_catalog."POSIX"',
        'CREATE COLLATION public.folded FROM pg_catalog."POSIX"',
        "CREATE TYPE public.text AS (a pg_catalog.text)",
        "CREATE TYPE public.bytea AS ENUM ('a')",
        "CREATE DOMAIN public.json AS pg_catalog.text CHECK (VALUE IS NULL)",
        "ALTER TABLE gh_connection ALTER access_token TYPE pg_catalog.text COLLATE public.folded",
        "ALTER TABLE gh_connection ALTER org_id TYPE pg_catalog.text COLLATE public.folded",
        "ALTER TABLE jira_connection ALTER access_token TYPE varchar COLLATE public.folded",
    )
    after = keydeck("status", "--json").json
    for part in ("tokens", "by_format", "by_column"):
        assert after[part] == before[part]
    assert keydeck("connections", "--filter", "org:a*", "--json").exit_code in (0, 1)
    ref = next(ref for ref in world.sealed_under(world.old_key) if ref.table == "gh_connection")
    ran = keydeck("reencrypt", str(ref), "--to", world.current_key.arn, "--yes")
    assert ran.exit_code == 0, ran.stderr


VIEWS = {
    "a function of its owner's": "SELECT b.*, note(b.id) AS note FROM gh_base b",
    "one of PostgreSQL's that runs any statement": (
        "SELECT b.*, query_to_xml('SELECT nextval(''public.ran'')', true, true, '') AS note FROM gh_base b"
    ),
    "one that changes the path": "SELECT b.*, set_config('search_path', 'public', true) FROM gh_base b",
}


@pytest.mark.quick(1)
@pytest.mark.parametrize("of", [*VIEWS, ""])
def test_a_view_in_a_tables_place_is_read_only_if_it_runs_nothing_of_others(
    intruder: Intruder,
    superuser: Engine,
    keydeck: Callable[..., Ran],
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    of: str,
) -> None:
    intruder.run(
        "ALTER TABLE gh_connection RENAME TO gh_base",
        f"CREATE FUNCTION note(varchar) RETURNS text {RUN}",
        f"CREATE VIEW gh_connection AS {VIEWS.get(of, 'SELECT * FROM gh_base')}",
        f"GRANT SELECT ON gh_connection TO {OPERATOR}",
    )
    status = keydeck("status", "--json").json
    assert (status["tokens"] == len(world.tokens)) is not bool(of)
    assert any("is a view that runs" in r for r in status["coverage"]["reasons"]) is bool(of)
    # Whoever has rights on the server's own machine reads no view at all.
    monkeypatch.setenv("DATABASE_URL", superuser.url.set(drivername="postgresql").render_as_string(False))
    status = keydeck("--read-only", "status", "--json").json
    assert any("an ordinary login; keydeck grants inspector" in r for r in status["coverage"]["reasons"])
    assert not status["coverage"]["complete"]
    assert 0 < status["tokens"] < len(world.tokens)
    assert not intruder.ran


def test_a_view_that_takes_a_tables_place_once_the_catalogue_is_read_is_not_run(
    intruder: Intruder, services: Container
) -> None:
    assert services.status.take_census().tokens
    intruder.run(
        "ALTER TABLE gh_connection RENAME TO gh_base",
        f"CREATE FUNCTION note(varchar) RETURNS varchar {RUN}",
        "CREATE VIEW gh_connection AS SELECT note(id) AS id, access_token, refresh_token FROM gh_base",
        f"GRANT SELECT ON gh_connection TO {OPERATOR}",
    )
    with pytest.raises(KeydeckError, match='access to non-system view "gh_connection" is restricted'):
        services.store.read_many([TokenRef("gh_connection", "access_token", "gh-1")])
    assert not intruder.ran

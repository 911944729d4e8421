"""Keydeck's own schema: installed once, the same by hand, and only by who may."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, text

from console.container import Container
from console.sandbox.postgres import OPERATOR, PLATFORM
from crypto_core.database.connection.engine import open_engine
from crypto_core.database.schema import FUNCTIONS, metadata
from crypto_core.database.state import installation
from crypto_core.database.state.installation import VERSION, ddl, install, require_schema
from crypto_core.database.state.journal import Journal
from crypto_core.database.tokens.tables import PLATFORM_TABLES
from crypto_core.guard.guarded_change import Outcome
from crypto_core.values.errors import (
    DatabaseReadOnlyError,
    MissingGrantError,
    MissingSchemaError,
    NewerSchemaError,
)
from tests.crypto_core.database.state.conftest import upgrade
from tests.crypto_core.database.state.first_form import insert_first_form
from tests.crypto_core.statements import execute

ENTERED = datetime(2026, 11, 24, 12, 0, 0, 123456, tzinfo=UTC)


def shape(engine: Engine) -> dict[str, list[Any]]:
    """What information_schema and the catalogue tell of schema keydeck."""
    statements = {
        "columns": "SELECT table_name, column_name, data_type, character_maximum_length, is_nullable,"
        " column_default, is_identity, identity_generation FROM information_schema.columns"
        " WHERE table_schema = 'keydeck'",
        "constraints": "SELECT table_name, constraint_name, constraint_type"
        " FROM information_schema.table_constraints WHERE table_schema = 'keydeck'"
        " AND constraint_type <> 'CHECK'",
        "indexes": "SELECT indexdef FROM pg_indexes WHERE schemaname = 'keydeck'",
        "triggers": "SELECT pg_get_triggerdef(t.oid) FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid"
        " WHERE c.relnamespace = 'keydeck'::regnamespace AND NOT tgisinternal",
        "functions": "SELECT pg_get_functiondef(oid) FROM pg_proc"
        " WHERE pronamespace = 'keydeck'::regnamespace",
        "version": "SELECT version_num FROM keydeck.version",
    }
    with engine.connect() as connection:
        return {
            name: sorted(tuple(row) for row in connection.execute(text(statement)))
            for name, statement in statements.items()
        }


def test_installing_twice_changes_nothing_the_second_time(empty: Callable[..., Engine]) -> None:
    engine = empty()
    assert install(engine) is True
    before = shape(engine)
    assert install(engine) is False
    assert shape(engine) == before
    require_schema(engine)


@pytest.mark.quick(2)
@pytest.mark.parametrize("version", ["0001", "0002", "0003", "0004", "0005"])
def test_an_older_schema_is_updated_to_the_same_with_what_it_holds(
    empty: Callable[..., Engine], version: str
) -> None:
    fresh, older = empty(), empty()
    install(fresh)
    upgrade(older, version)
    with older.begin() as connection:
        insert_first_form(connection, [("ana", "host", "init", "schema keydeck", "done", "{}")], [ENTERED])
    journal = Journal(older, lambda: "ana")
    with pytest.raises(MissingSchemaError, match="is needed"):
        require_schema(older)
    for use in (journal.verify, journal.entries, lambda: journal.record("rewrap", "x", Outcome.DONE)):
        with pytest.raises(MissingSchemaError, match="of another version than this Keydeck"):
            use()
    assert install(older) is True
    require_schema(older)
    assert shape(older) == shape(fresh)
    journal.record("rewrap", "x", Outcome.DONE)
    before, after = journal.entries()
    assert (before.action, before.at, before.database_role) == ("init", ENTERED, None)
    assert (after.seq, after.previous, after.database_role) == (2, before.digest, OPERATOR)
    assert (before.database_id, after.database_id) == (None, journal.database_id())
    assert journal.verify() is None


def test_entries_that_the_function_made_before_there_was_an_id_are_followed_by_such_with_it(
    empty: Callable[..., Engine],
) -> None:
    fresh, older = empty(), empty()
    install(fresh)
    upgrade(older, "0006")
    execute(older, "SELECT keydeck.append_to_journal('ana', 'host', 'init', 'schema keydeck', 'done', '{}')")
    assert install(older) is True
    assert shape(older) == shape(fresh)
    journal = Journal(older, lambda: "ana")
    journal.record("rewrap", "x", Outcome.DONE)
    before, after = journal.entries()
    assert (before.database_role, before.database_id) == (OPERATOR, None)
    assert (after.previous, after.database_id) == (before.digest, journal.database_id())
    assert journal.verify() is None


def test_the_printed_ddl_makes_the_same_schema(empty: Callable[..., Engine]) -> None:
    installed, by_hand = empty(), empty()
    install(installed)
    connection = psycopg2.connect(by_hand.url.set(drivername="postgresql").render_as_string(False))
    with connection.cursor() as cursor:
        cursor.execute(ddl())
    connection.commit()
    connection.close()
    assert shape(by_hand) == shape(installed)
    assert len(shape(installed)["columns"]) > 20
    assert install(by_hand) is False


def test_the_printed_ddl_is_only_ddl_of_the_schema(capsys: pytest.CaptureFixture[str]) -> None:
    printed = ddl()
    assert capsys.readouterr().out == ""
    assert "CREATE SCHEMA IF NOT EXISTS keydeck" in printed
    assert "gh_connection" not in printed
    assert printed.count("BEGIN;") == printed.count("COMMIT;") == 1
    assert ddl() == printed


def test_the_migrations_make_what_the_code_declares(empty: Callable[..., Engine]) -> None:
    engine = empty()
    install(engine)
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "include_schemas": True,
                "compare_type": True,
                "compare_server_default": True,
                "include_name": lambda name, kind, _parents: kind != "schema" or name == "keydeck",
                "include_object": lambda _o, name, kind, _r, _c: not (kind == "table" and name == "version"),
            },
        )
        assert compare_metadata(context, metadata) == []


def test_a_role_that_may_not_create_the_schema_is_told_the_grant(empty: Callable[..., Engine]) -> None:
    engine = empty()
    owner = empty(PLATFORM, engine.url.database)
    execute(owner, f"REVOKE CREATE ON DATABASE {engine.url.database} FROM {OPERATOR}")
    with pytest.raises(MissingGrantError, match="may not create schema keydeck") as caught:
        install(engine)
    assert "GRANT CREATE ON DATABASE" in caught.value.remedy
    assert "keydeck init --sql" in caught.value.remedy
    with pytest.raises(MissingSchemaError, match="no backup and no journal"):
        require_schema(engine)
    execute(owner, f"GRANT CREATE ON DATABASE {engine.url.database} TO {OPERATOR}")
    assert install(engine) is True


def test_a_role_without_create_may_use_a_schema_that_is_there(empty: Callable[..., Engine]) -> None:
    engine = empty()
    owner = empty(PLATFORM, engine.url.database)
    install(owner)
    execute(
        owner,
        f"REVOKE CREATE ON DATABASE {engine.url.database} FROM {OPERATOR}",
        f"GRANT USAGE ON SCHEMA keydeck TO {OPERATOR}",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA keydeck TO {OPERATOR}",
        f"GRANT EXECUTE ON FUNCTION {FUNCTIONS['journal']} TO {OPERATOR}",
    )
    assert install(engine) is False
    Journal(engine, lambda: "tester").record("rewrap", "x", Outcome.DONE)
    assert Journal(owner, lambda: "").verify() is None


def test_a_newer_schema_is_left_as_it_is_and_said_with_both_versions(empty: Callable[..., Engine]) -> None:
    engine = empty()
    install(engine)
    execute(engine, "UPDATE keydeck.version SET version_num = '0123'")
    before = shape(engine)
    for use in (install, require_schema):
        with pytest.raises(NewerSchemaError, match=f"version 0123 here, and this Keydeck knows {VERSION}"):
            use(engine)
    assert shape(engine) == before


def test_what_a_newer_schema_says_of_itself_is_cleaned(empty: Callable[..., Engine]) -> None:
    engine = empty()
    install(engine)
    execute(engine, "UPDATE keydeck.version SET version_num = :it", it="9\x1b[31m\u202e[b]")
    with pytest.raises(NewerSchemaError) as caught:
        require_schema(engine)
    assert not {"\x1b", "\u202e"} & set(str(caught.value))


DIGESTS = {
    "v0001_backups_answers_journal.py": "d435714f49a2b37232b14d8fed84ec19fe7c17900bbe481cb5508f918c132163",
    "v0002_jobs.py": "ca396c7ee88ef71a1bab6347ed4fd19535118bb4e47f89048120867c0a52a36b",
    "v0003_incidents.py": "a388f5624d35f697e84ff2cc8e43aaa9361e5a4acdc46ddd4f296445e12b370b",
    "v0004_sweeps.py": "faf3c02d42ae60561cccd8885f2b3f525a34584faf6fd3e8429f06935fbe2cc7",
    "v0005_approval_digests.py": "03e51d5299b85fab3361c33879877f7a09954a7b2750e713d35c4e22c2ddf7f0",
    "v0006_journal_function.py": "00ba3f68ac8c61c0ec873ed0fd95d8f2b5f3e7fcbf870c98dbc7f623aaa9f0cd",
    "v0007_database_id.py": "6e40e07aab9dcd28dde94e5d78d2db44674091653fd501129f4fcee08d5b34ab",
    "v0008_acknowledged_breaks.py": "ad8d002fd9ca0df3a7f17f707a24f64b0507bc50768dc7a893216e3c0db886fe",
    "v0009_step_leases.py": "b5e70e74441e0e2cea2c2abc738495ef64489a12738e84de11c8798da3432368",
    "v0010_duties_notices.py": "25f8d118184fa55e92c3ee39488471dc418c2b696100890125cdd841a2efe92a",
    "v0011_incident_roles.py": "71a28ae055a408c9bed43d7d53fa23e273369f7a7aa18009f71d50a3d76796b7",
    "v0012_receipts.py": "6a8770cb113a609ade8e779ebdc7b960b3b1bf2b3a184295e6983c75e9b82e42",
    "v0013_token_index.py": "c140ac624bde06a19fbc57fe9ccaf7b2499bd541fe86dd7700e14ee696601953",
    "v0014_registered_copies.py": "39cb444a13b2d2d185f21c82a46031c711f284e0aec146ba618588fb212d291d",
    "v0015_tripwires.py": "af05277b6a49dcbd0f62ea3d0a2c7018f56f18d83d8e638df9fbc5f45effe92f",
    "v0016_evidence_records.py": "4dbae50492bbaafaa315b2550fd06bb2c10382f62995833564bdbe4284f7bd93",
    "v0017_checked_entries.py": "b5a534f7b9905482f0c6fc455a8500cd5e402e81c2e09ceb9e5061dc5a9b6eae",
    "v0018_backup_functions.py": "a326ac6fcf567c9030b024017ef6f5651a74d865143f818866a8d6feb409d705",
    "v0019_recorded_approvals.py": "f41b6dc7ca0819ec84a82e31742e9b3fb7406d5b597d9034a2c65fdca4f1393a",
    "v0020_duties.py": "92808a40b6c106b9685a793c902defeacaccb4300d8c52570d036436a28961a7",
}
"""SHA-256 of each migration. A line is added with a new one; none is ever changed: databases have run it."""


def test_a_migration_is_never_edited() -> None:
    folder = Path(installation.__file__).parent / "migrations" / "versions"
    found = {file.name: sha256(file.read_bytes()).hexdigest() for file in folder.glob("v*.py")}
    assert found == DIGESTS
    assert max(DIGESTS)[1:5] == VERSION


def test_a_read_only_session_installs_nothing(empty: Callable[..., Engine]) -> None:
    engine = empty()
    reading = open_engine(engine.url.render_as_string(hide_password=False), read_only=True)
    with pytest.raises(DatabaseReadOnlyError):
        install(reading)
    reading.dispose()
    with pytest.raises(MissingSchemaError):
        require_schema(engine)


def test_a_failed_installation_leaves_nothing_half_done(empty: Callable[..., Engine]) -> None:
    engine = empty()
    execute(engine, "CREATE SCHEMA keydeck", "CREATE TABLE keydeck.journal (x int)")
    with pytest.raises(Exception, match="already exists"):
        install(engine)
    with engine.connect() as connection:
        tables = connection.scalars(
            text("SELECT tablename FROM pg_tables WHERE schemaname = 'keydeck'")
        ).all()
    assert tables == ["journal"]


def test_the_platforms_tables_are_not_touched(services: Container, platform: Engine) -> None:
    with platform.connect() as connection:
        public = connection.scalars(
            text("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
        ).all()
        triggers = connection.scalar(
            text("SELECT count(*) FROM information_schema.triggers WHERE event_object_schema = 'public'")
        )
    assert public == sorted(table.name for table in PLATFORM_TABLES)
    assert triggers == 0

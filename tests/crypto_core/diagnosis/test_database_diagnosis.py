"""What a diagnosis says of a database, of one that is well and of one that isn't."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Event

import pytest
from sqlalchemy import Engine, make_url, text

from console.container import Container
from console.sandbox.postgres import OPERATOR
from console.sandbox.sandbox import Sandbox
from crypto_core.database.connection.engine import open_engine
from crypto_core.database.tokens.table_figures import Backlog, vacuuming
from crypto_core.database.tokens.tables import PLATFORM_TABLES, TokenTable
from crypto_core.diagnosis import Check, CheckOutcome, Topic
from crypto_core.diagnosis.database import DatabasePlace, _session, look_at_database


def place(
    url: str, *, read_only: bool = False, tables: tuple[TokenTable, ...] = PLATFORM_TABLES
) -> DatabasePlace:
    return DatabasePlace(url, "DATABASE_URL", "database", read_only, tables)


def found(url: str, *, read_only: bool = False) -> dict[str, Check]:
    return {check.name: check for check in look_at_database(place(url, read_only=read_only), Event())}


def run(superuser: Engine, *statements: str) -> None:
    with superuser.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


def not_ok(checks: dict[str, Check]) -> dict[str, CheckOutcome]:
    return {name: c.outcome for name, c in checks.items() if c.outcome is not CheckOutcome.OK}


def test_a_database_that_is_well_is_all_ok(services: Container, database_url: str) -> None:
    checks = found(database_url)
    assert not_ok(checks) == {}
    assert checks["role"].said == "operator."
    assert re.fullmatch(r"PostgreSQL 18.*, encoding UTF8\.", checks["version"].said)
    assert "gh_connection.refresh_token" in checks
    assert "keydeck.journal" in checks
    assert checks["session"].said == "May write."


def test_read_only_is_said_as_set(services: Container, database_url: str) -> None:
    checks = found(database_url, read_only=True)
    assert checks["session"].said == "Read only, as set."
    assert not_ok(checks) == {}


def test_a_session_that_may_write_although_read_only_is_set_fails(database_url: str) -> None:
    engine = open_engine(database_url)
    try:
        check = _session(engine, place(database_url, read_only=True), Topic("db", "session"))
    finally:
        engine.dispose()
    assert check.outcome is CheckOutcome.FAILED


def test_a_database_that_accepts_no_writes_is_a_warning(superuser: Engine, database_url: str) -> None:
    name = make_url(database_url).database
    run(superuser, f"ALTER ROLE {OPERATOR} IN DATABASE {name} SET default_transaction_read_only = on")
    check = found(database_url)["session"]
    assert check.outcome is CheckOutcome.WARNING
    assert "accepts no writes" in check.said


def test_a_missing_grant_is_named_to_the_letter_and_the_statement_mends_it(
    services: Container, superuser: Engine, database_url: str
) -> None:
    run(
        superuser,
        f"REVOKE ALL ON gh_connection, slack_connection, jira_connection FROM {OPERATOR}",
        f"GRANT SELECT ON jira_connection TO {OPERATOR}",
        f"REVOKE ALL ON keydeck.envelope_backup FROM {OPERATOR}",
        "ALTER TABLE keydeck.envelope_backup OWNER TO postgres",
    )
    checks = found(database_url)
    assert not_ok(checks) == {
        "gh_connection.access_token": CheckOutcome.FAILED,
        "gh_connection.refresh_token": CheckOutcome.FAILED,
        "slack_connection.bot_token": CheckOutcome.FAILED,
        "jira_connection.access_token": CheckOutcome.WARNING,
        "jira_connection.refresh_token": CheckOutcome.WARNING,
        "keydeck.envelope_backup": CheckOutcome.WARNING,
    }
    assert (
        checks["slack_connection.bot_token"].remedy
        == "GRANT SELECT (id, bot_token) ON slack_connection TO operator;"
    )
    read_only = found(database_url, read_only=True)
    assert read_only["jira_connection.access_token"].outcome is CheckOutcome.OK
    run(superuser, *(c.remedy for c in checks.values() if c.remedy))
    again = found(database_url)
    left = {n: c.remedy for n, c in again.items() if c.outcome is not CheckOutcome.OK}
    assert set(left) == {
        "gh_connection.access_token",
        "gh_connection.refresh_token",
        "slack_connection.bot_token",
    }
    run(superuser, *left.values())
    assert not_ok(found(database_url)) == {}


def test_without_keydecks_schema_inspection_works_and_writing_does_not(database_url: str) -> None:
    check = found(database_url)["schema keydeck"]
    assert (check.outcome, check.remedy) == (CheckOutcome.WARNING, "Create it with: keydeck init.")
    assert found(database_url, read_only=True)["schema keydeck"].outcome is CheckOutcome.OK


@pytest.mark.parametrize(
    ("statement", "name", "outcome", "remedy"),
    [
        (
            "UPDATE keydeck.version SET version_num = '9999'",
            "schema keydeck",
            CheckOutcome.WARNING,
            "same version",
        ),
        ("DROP TABLE keydeck.key_answer", "keydeck.key_answer", CheckOutcome.FAILED, "keydeck init"),
    ],
)
def test_a_schema_of_another_version_is_told(
    services: Container,
    superuser: Engine,
    database_url: str,
    statement: str,
    name: str,
    outcome: CheckOutcome,
    remedy: str,
) -> None:
    run(superuser, statement)
    check = found(database_url)[name]
    assert check.outcome is outcome
    assert remedy in check.remedy


def test_a_schema_that_may_not_be_used_names_the_grant(
    services: Container, superuser: Engine, database_url: str
) -> None:
    run(superuser, "ALTER SCHEMA keydeck OWNER TO postgres", f"REVOKE ALL ON SCHEMA keydeck FROM {OPERATOR}")
    check = found(database_url)["schema keydeck"]
    assert check.remedy == "GRANT USAGE ON SCHEMA keydeck TO operator;"


def test_ids_that_may_occur_twice_fail(superuser: Engine, database_url: str) -> None:
    run(
        superuser,
        "ALTER TABLE slack_connection DROP CONSTRAINT slack_connection_pkey",
        "CREATE UNIQUE INDEX part ON slack_connection (id) WHERE org_id IS NOT NULL",
        "CREATE UNIQUE INDEX pair ON slack_connection (id, org_id)",
    )
    check = found(database_url)["slack_connection.id"]
    assert check.outcome is CheckOutcome.FAILED
    run(superuser, check.remedy.partition(";")[0])
    assert found(database_url)["slack_connection.id"].outcome is CheckOutcome.OK


def test_a_view_whose_ids_identify_nothing_fails_in_place_of_a_table(
    superuser: Engine, database_url: str
) -> None:
    run(
        superuser,
        "ALTER TABLE slack_connection RENAME TO slack_base",
        "CREATE VIEW slack_connection AS SELECT * FROM slack_base UNION ALL SELECT * FROM slack_base",
        f"GRANT SELECT, UPDATE ON slack_connection TO {OPERATOR}",
    )
    check = found(database_url)["slack_connection.id"]
    assert check.outcome is CheckOutcome.FAILED
    assert "view" in check.remedy


def test_tables_that_are_not_there_are_told_and_none_at_all_fails(
    superuser: Engine, database_url: str
) -> None:
    run(superuser, "DROP TABLE slack_connection")
    assert found(database_url)["not in this database"].said == "slack_connection"
    run(superuser, "DROP TABLE gh_connection, jira_connection, confluence_connection")
    run(superuser, "DROP TABLE connectors, mcp_servers")
    assert found(database_url)["token columns"].outcome is CheckOutcome.FAILED


def test_a_superuser_is_a_warning(sandbox: Sandbox, database_url: str) -> None:
    url = make_url(sandbox.superuser_url).set(database=make_url(database_url).database)
    check = found(url.render_as_string(hide_password=False))["role"]
    assert check.outcome is CheckOutcome.WARNING
    assert "superuser" in check.said


def test_a_connection_to_another_machine_without_tls_is_a_warning(database_url: str) -> None:
    url = make_url(database_url).set(host="db.example.com").update_query_dict({"hostaddr": "127.0.0.1"})
    check = found(url.render_as_string(hide_password=False))["encryption"]
    assert check.outcome is CheckOutcome.WARNING
    assert "db.example.com" in check.said
    assert "sslmode" in check.remedy


@pytest.mark.parametrize(
    ("ahead", "outcome"), [(0, CheckOutcome.OK), (60, CheckOutcome.WARNING), (-3600, CheckOutcome.FAILED)]
)
def test_a_clock_that_differs_from_the_servers_is_told(
    database_url: str, ahead: int, outcome: CheckOutcome
) -> None:
    def clock() -> datetime:
        return datetime.now(UTC) + timedelta(seconds=ahead)

    checks = {c.name: c for c in look_at_database(place(database_url), Event(), clock)}
    assert checks["clock"].outcome is outcome


@pytest.fixture
def mute_server() -> Iterator[int]:
    """A port that takes connections and never says anything."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(50)
        yield listener.getsockname()[1]


@pytest.mark.deep
def test_a_server_that_does_not_answer_fails_in_time_and_the_rest_is_skipped(mute_server: int) -> None:
    started = time.monotonic()
    checks = found(f"postgresql://operator:secret-word@127.0.0.1:{mute_server}/tokens")
    assert time.monotonic() - started < 25
    assert [c.outcome for c in checks.values()] == [CheckOutcome.FAILED, CheckOutcome.SKIPPED]
    assert "secret-word" not in str(checks)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://operator:secret-word@127.0.0.1:1/tokens",
        "mysql://operator:secret-word@127.0.0.1/tokens",
        "secret-word",
        "postgresql://secret-word@[::1/x",
    ],
)
def test_an_address_that_leads_nowhere_fails_and_repeats_no_password(url: str) -> None:
    checks = found(url)
    assert next(iter(checks.values())).outcome is CheckOutcome.FAILED
    assert all(check.remedy or check.outcome is CheckOutcome.SKIPPED for check in checks.values())
    assert "secret-word" not in str(list(checks.values()))


def test_a_wrong_password_fails_and_says_which_setting(database_url: str) -> None:
    url = make_url(database_url).set(password="wrong-secret-word").render_as_string(hide_password=False)
    check = found(url)["reachable"]
    assert check.outcome is CheckOutcome.FAILED
    assert "password authentication failed" in check.said
    assert "DATABASE_URL" in check.remedy
    assert "wrong-secret-word" not in str(check)


def test_hostile_names_in_the_database_reach_no_terminal(superuser: Engine, database_url: str) -> None:
    role = "[/red]\x1b[2J\u202e\nrole"
    quoted = superuser.dialect.identifier_preparer.quote_identifier(role)
    with superuser.begin() as connection:
        connection.execute(text(f"CREATE ROLE {quoted} LOGIN SUPERUSER PASSWORD 'x'".replace(":", "\\:")))
    try:
        url = make_url(database_url).set(username=role, password="x").render_as_string(hide_password=False)
        checks = found(url)
        assert checks["role"].outcome is CheckOutcome.WARNING
        assert checks["role"].said.isprintable()
        name = "db[/red]\x1b[2J\nx"
        missing = found(make_url(database_url).set(database=name).render_as_string(hide_password=False))
        assert all(c.said.isprintable() and "\x1b" not in c.said for c in missing.values())
    finally:
        with superuser.begin() as connection:
            connection.execute(text(f"DROP ROLE {quoted}".replace(":", "\\:")))


def test_a_diagnosis_writes_nothing(services: Container, superuser: Engine, database_url: str) -> None:
    def state() -> list[object]:
        statement = text(
            "SELECT relname, n_tup_ins, n_tup_upd, n_tup_del FROM pg_stat_user_tables ORDER BY 1"
        )
        with superuser.connect() as connection:
            connection.execute(text("SELECT pg_stat_clear_snapshot()"))
            return list(connection.execute(statement))

    before = state()
    found(database_url)
    time.sleep(0.2)
    assert state() == before


def test_the_journals_own_database_is_asked_for_no_tokens(services: Container, database_url: str) -> None:
    checks = list(look_at_database(place(database_url, tables=()), Event()))
    assert "keydeck.journal" in {c.name for c in checks}
    assert not any("access_token" in c.name for c in checks)
    stopped = Event()
    stopped.set()
    assert len(list(look_at_database(place(database_url), stopped))) == 1


def test_each_partition_is_looked_at_and_the_largest_threshold_counts(
    services: Container, superuser: Engine
) -> None:
    run(
        superuser,
        "CREATE TABLE parted (id int, token text) PARTITION BY RANGE (id)",
        "CREATE TABLE part_1 PARTITION OF parted FOR VALUES FROM (0) TO (9) WITH (autovacuum_enabled = no)",
        "CREATE TABLE part_2 PARTITION OF parted FOR VALUES FROM (10) TO (19)",
        "UPDATE pg_class SET reltuples = 1e10 WHERE relname = 'part_2'",
    )
    with superuser.connect() as connection:
        off, late = vacuuming(connection, (replace(PLATFORM_TABLES[0], name="parted"),))
    assert (off.table, off.after, late.after) == ("public.part_1", None, 100_000_000)
    assert off.remedy == "ALTER TABLE public.part_1 SET (autovacuum_enabled = on);"


def test_a_table_that_is_vacuumed_too_late_is_named_with_the_statement_that_mends_it(
    services: Container,
    superuser: Engine,
    platform: Engine,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = found(database_url)["vacuum"].said
    assert said == f"{len(PLATFORM_TABLES)} tables vacuumed in time by autovacuum's settings."
    run(superuser, "UPDATE pg_class SET reltuples = 2e7 WHERE relname = 'gh_connection'")
    run(platform, "ALTER TABLE slack_connection SET (autovacuum_enabled = off)")
    check = found(database_url)["vacuum"]
    assert check.outcome is CheckOutcome.WARNING
    assert check.said.startswith("gh_connection is vacuumed by itself only after 4,000,050 dead rows.")
    assert "SET (autovacuum_vacuum_threshold = 50, autovacuum_vacuum_scale_factor = 0.05);" in check.remedy
    assert check.said.endswith("So it is with 1 more table.")
    run(platform, *check.remedy.partition(": ")[2].replace("; ", ";\n").splitlines())
    assert found(database_url)["vacuum"].said == said
    assert found(database_url)["replicas"].said == "None that streams from here."
    monkeypatch.setattr(
        "crypto_core.diagnosis.database.backlogs", lambda _: [Backlog("mirror", 0), Backlog("bi", 1)]
    )
    assert found(database_url)["replicas"].said.endswith("subscribers also get each envelope: mirror, bi.")

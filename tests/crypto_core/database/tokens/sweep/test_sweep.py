"""Sweep: whatever column tokens are in, the sweep finds them; what it can't see, it names."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Event

import pytest
from sqlalchemy import Engine, text

from console.container import Container
from console.sandbox.postgres import OPERATOR
from console.sandbox.world import World
from crypto_core.database.connection.engine import open_engine
from crypto_core.database.tokens.catalogue import LiveCatalogue
from crypto_core.database.tokens.sweep import samples
from crypto_core.database.tokens.sweep.results import Sweep
from crypto_core.database.tokens.sweep.service import GOOD_FOR, SweepService
from crypto_core.values.cancellation import Cancellation
from crypto_core.values.errors import InterruptedRunError
from crypto_core.values.json_records import record_of
from tests.crypto_core.canary import assert_tells_nothing
from tests.crypto_core.statements import execute, scalar

Envelope = Callable[[], str]


def places(sweep: Sweep) -> dict[str, tuple[dict[str, int], int, int]]:
    """What was found by column: kinds, values that are tokens, documents."""
    return {t.place_of(c): (dict(c.kinds), c.begins, c.documents) for t, c in sweep.places()}


def test_a_database_with_the_platforms_tables_alone_has_no_other_place(services: Container) -> None:
    sweep = services.sweeps.take_sweep()
    assert (sweep.found, sweep.unseen, sweep.notes) == ((), (), ())
    # What is beside the tokens in their own tables.
    assert sweep.columns > 10


def test_documents_of_envelopes_in_a_binary_column_are_found(services: Container, vault: str) -> None:
    sweep = services.sweeps.take_sweep()
    assert places(sweep) == {"vault_items.secret_json": ({"v1": 5}, 0, 5)}
    (table,) = sweep.found
    assert (table.id_column, table.id_kind, table.beside, table.visible) == ("id", "integer", ("name",), True)
    status = services.status.take_census()
    assert not status.coverage.complete
    assert not status.well
    (reason,) = status.coverage.reasons
    assert "vault_items.secret_json holds tokens and is in no inventory (5 v1 in 5 rows)" in reason
    assert any("outside the inventory" in problem.title for problem in status.problems)


@pytest.mark.parametrize("full", [False, True], ids=["samples", "full"])
def test_tokens_are_found_in_whatever_type_can_hold_them(
    services: Container, superuser: Engine, envelope: Envelope, full: bool
) -> None:
    """In a table that has the names of the statement's own parts."""
    value = envelope()
    columns = {
        "as_text": ("text", value),
        "as_varchar": ("varchar(4000)", value),
        "as_char": ("char(4000)", value),
        "as_json": ("json", json.dumps({"a": [{"b": value}]})),
        "as_jsonb": ("jsonb", json.dumps({"a": [{"b": value}]})),
        "as_escaped": ("json", json.dumps({"a": value}).replace("djF8", "\\u0064jF8")),
        "as_escaped_text": ("text", json.dumps({"a": value}).replace("djF8", "dj\\u00468")),
        "as_escaped_bytes": ("bytea", json.dumps({"a": value}).replace("djF8", "d\\u006AF8").encode()),
        "as_list": ("text[]", f"{{other,{value}}}"),
        "as_bytes": ("bytea", value.encode()),
        "as_hex": ("text", value.encode().hex()),
        "as_urlsafe": ("text", value.replace("+", "-").replace("/", "_")),
        "as_list_of_bytes": ("bytea[]", "{" + '"' + "\\\\x" + value.encode().hex() + '"' + "}"),
        "as_domain": ("secret_text", value),
        "as_composite": ("pair", f"(1,{value})"),
        "as_enveloped_domain": ("secret_bytes", value.encode()),
        "as_issued": ("text", "ghp_CANARYcanary0123456789"),
        "as_dev": ("text", "ZGV2f" + "A" * 100),
        "no_token": ("text", "djF8 is how an envelope begins"),
        "a_number": ("bigint", 1),
        "too_short": ("varchar(8)", "ghp_"),
    }
    defined = ", ".join(f"{name} {kind}" for name, (kind, _) in columns.items())
    execute(
        superuser,
        "CREATE DOMAIN secret_text AS text",
        "CREATE DOMAIN secret_bytes AS bytea",
        "CREATE TYPE pair AS (number int, value text)",
        f"CREATE TABLE patterns (any_token int, respelt int, id int, {defined})",
        f"GRANT SELECT ON patterns TO {OPERATOR}",
    )
    with superuser.begin() as connection:
        values = ", ".join(f"CAST(:{name} AS {kind})" for name, (kind, _) in columns.items())
        connection.execute(
            text(f"INSERT INTO patterns SELECT 1, 1, 1, {values}"),
            {name: v for name, (_, v) in columns.items()},
        )
    (table,) = services.sweeps.take_sweep(full=full).found
    found = {column.name: dict(column.kinds) for column in table.columns}
    assert found.pop("as_issued") == {"github": 1}
    assert found.pop("as_dev") == {"dev": 1}
    assert found == {name: {"v1": 1} for name in columns if name.startswith("as_") and name in found}
    assert set(found) == {n for n in columns if n.startswith("as_")} - {"as_issued", "as_dev"}
    assert table.id_column is None


def test_values_that_are_neither_text_nor_json_break_nothing(
    services: Container, superuser: Engine, envelope: Envelope
) -> None:
    execute(
        superuser,
        "CREATE TABLE odd_values (id int PRIMARY KEY, data bytea, note text)",
        "INSERT INTO odd_values SELECT n, decode(repeat('ff00fe5c27', n), 'hex'), repeat('\\', n)"
        " FROM generate_series(1, 50) n",
        "INSERT INTO odd_values VALUES (51, NULL, NULL), (52, '', '')",
        f"GRANT SELECT ON odd_values TO {OPERATOR}",
    )
    execute(
        superuser,
        "INSERT INTO odd_values VALUES (60, :data)",
        data=b"\xff\x00\\" + envelope().encode() + b"\xfe",
    )
    sweep = services.sweeps.take_sweep()
    assert places(sweep) == {"odd_values.data": ({"v1": 1}, 0, 0)}
    assert sweep.unseen == ()


def test_the_same_tables_in_a_second_schema_are_named_and_found(
    services: Container, superuser: Engine, world: World
) -> None:
    execute(
        superuser,
        "CREATE SCHEMA tenant_b",
        "CREATE TABLE tenant_b.gh_connection AS TABLE gh_connection",
        "CREATE TABLE tenant_b.slack_connection (id int, note text)",
        f"GRANT USAGE ON SCHEMA tenant_b TO {OPERATOR}",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA tenant_b TO {OPERATOR}",
    )
    (gap,) = services.catalogue.refresh().gaps
    assert gap == (
        "Tables by the name of gh_connection elsewhere have tokens, and are not counted: "
        "tenant_b.gh_connection."
    )
    found = places(services.sweeps.take_sweep())
    assert set(found) == {"tenant_b.gh_connection.access_token", "tenant_b.gh_connection.refresh_token"}
    status = services.status.take_census()
    assert status.tokens == len(world.tokens)
    assert not status.coverage.complete


def test_a_second_schema_that_may_not_be_used_is_named_all_the_same(
    services: Container, superuser: Engine
) -> None:
    execute(superuser, "CREATE SCHEMA tenant_c", "CREATE TABLE tenant_c.gh_connection AS TABLE gh_connection")
    assert any("tenant_c.gh_connection" in gap for gap in services.catalogue.refresh().gaps)
    (unseen,) = services.sweeps.take_sweep().unseen
    assert "in schema tenant_c can't be read" in unseen
    needed = unseen.partition("Needed: ")[2]
    execute(superuser, *needed.split("; "))
    assert services.sweeps.take_sweep().unseen == ()


def test_a_schema_named_like_the_role_is_told_where_it_shadows(
    services: Container, superuser: Engine
) -> None:
    execute(
        superuser,
        f"CREATE SCHEMA {OPERATOR} AUTHORIZATION {OPERATOR}",
        f"CREATE TABLE {OPERATOR}.gh_connection (LIKE public.gh_connection INCLUDING ALL)",
        f"ALTER TABLE {OPERATOR}.gh_connection OWNER TO {OPERATOR}",
    )
    status = services.status.take_census()
    assert not status.coverage.complete
    assert (
        "gh_connection is taken from the schema that is named like the role, before the others: "
        "public.gh_connection is not counted." in " ".join(status.coverage.reasons)
    )
    # What is in the shadow is a place like any other.
    assert "public.gh_connection.access_token" in places(services.sweeps.take_sweep())


def test_row_level_security_is_told_of_token_tables_and_of_others(
    services: Container, platform: Engine, vault: str, world: World
) -> None:
    execute(
        platform,
        "ALTER TABLE gh_connection ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE vault_items ENABLE ROW LEVEL SECURITY",
    )
    status = services.status.take_census()
    assert status.tokens < len(world.tokens)
    reasons = " ".join(status.coverage.reasons)
    assert f"Row-level security on gh_connection hides rows from role {OPERATOR}" in reasons
    assert "Row-level security hides rows from this role in public.vault_items" in reasons


def test_whoever_row_level_security_does_not_bind_is_told_nothing(
    services: Container, platform: Engine, superuser: Engine
) -> None:
    execute(platform, "ALTER TABLE gh_connection ENABLE ROW LEVEL SECURITY")
    for engine in (platform, superuser):
        catalogue = LiveCatalogue(engine)
        assert catalogue().gaps == ()
        assert SweepService(engine, catalogue, read_only=True).take_sweep().unseen == ()
    execute(platform, "ALTER TABLE gh_connection FORCE ROW LEVEL SECURITY")
    assert len(LiveCatalogue(platform)().gaps) == 1
    assert LiveCatalogue(superuser)().gaps == ()


def test_a_session_that_refuses_row_level_security_counts_the_rest(
    services: Container, platform: Engine, superuser: Engine, world: World
) -> None:
    name = services.engine.url.database
    execute(
        superuser,
        "ALTER TABLE gh_connection ENABLE ROW LEVEL SECURITY",
        f"ALTER ROLE {OPERATOR} IN DATABASE {name} SET row_security = off",
    )
    services.engine.dispose()
    status = services.status.take_census()
    missing = sum(
        sum(world.by_column[f"gh_connection.{c}"].values()) for c in ("access_token", "refresh_token")
    )
    assert status.tokens == len(world.tokens) - missing
    reasons = " ".join(status.coverage.reasons)
    assert f"gh_connection.access_token can't be read. Needed: ALTER ROLE {OPERATOR} BYPASSRLS" in reasons
    assert "with row_security = off, as in this session, PostgreSQL refuses it" in reasons


def test_tables_on_another_server_are_named(services: Container, superuser: Engine) -> None:
    execute(
        superuser,
        "CREATE FOREIGN DATA WRAPPER nothing",
        "CREATE SERVER elsewhere FOREIGN DATA WRAPPER nothing",
        "CREATE FOREIGN TABLE far_tokens (id int, token text) SERVER elsewhere",
        "CREATE FOREIGN TABLE far_numbers (id int, number bigint) SERVER elsewhere",
        f"GRANT SELECT ON far_tokens, far_numbers TO {OPERATOR}",
    )
    (gap,) = services.catalogue.refresh().gaps
    assert gap.endswith("whether tokens are there is not known: public.far_tokens.")
    status = services.status.take_census()
    assert gap in status.coverage.reasons
    assert any("far_tokens" in reason for reason in services.sweeps.take_sweep().unseen)


def test_partitions_are_read_where_that_may_be_done_and_named_where_not(
    services: Container, superuser: Engine, envelope: Envelope
) -> None:
    execute(
        superuser,
        "CREATE TABLE parted (id int, token text) PARTITION BY RANGE (id)",
        "CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (100)",
        "CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM (100) TO (200)",
        f"GRANT SELECT ON parted_1 TO {OPERATOR}",
    )
    with superuser.begin() as connection:
        for number in (1, 101):
            connection.execute(
                text("INSERT INTO parted VALUES (:id, :token)"), {"id": number, "token": envelope()}
            )
    sweep = services.sweeps.take_sweep()
    # A partition is told as the table that it belongs to.
    assert places(sweep) == {"parted.token": ({"v1": 1}, 1, 0)}
    (unseen,) = sweep.unseen
    assert "public.parted_2" in unseen
    assert "parted_1" not in unseen
    execute(superuser, f"GRANT SELECT ON parted TO {OPERATOR}")
    sweep = services.sweeps.take_sweep(full=True)
    assert places(sweep)["parted.token"][0]["v1"] >= 2
    assert sweep.unseen == ()


def test_the_partitions_beside_a_declared_one_are_named(
    services: Container, superuser: Engine, envelope: Envelope
) -> None:
    execute(
        superuser,
        "CREATE TABLE all_connections (id text NOT NULL, part int NOT NULL, access_token text,"
        " refresh_token text) PARTITION BY LIST (part)",
        "DROP TABLE gh_connection",
        "CREATE TABLE gh_connection PARTITION OF all_connections (PRIMARY KEY (id)) FOR VALUES IN (1)",
        "CREATE TABLE gl_connection PARTITION OF all_connections FOR VALUES IN (2)",
        f"GRANT SELECT ON gh_connection TO {OPERATOR}",
    )
    (gap,) = services.catalogue.refresh().gaps
    assert gap.startswith("gh_connection is a partition; those beside it can't be read, and are not counted")
    assert "public.gl_connection" in gap


def test_partitions_of_a_declared_table_are_counted_through_it(
    with_tables: Callable[[str], Container], services: Container, superuser: Engine, envelope: Envelope
) -> None:
    execute(
        superuser,
        "CREATE TABLE parted (id int PRIMARY KEY, token text) PARTITION BY RANGE (id)",
        "CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (100)",
        f"GRANT SELECT ON parted, parted_1 TO {OPERATOR}",
    )
    execute(superuser, "INSERT INTO parted VALUES (1, :token)", token=envelope())
    container = with_tables('[[tables]]\nname = "parted"\nid_kind = "integer"\ntoken_columns = ["token"]\n')
    assert places(container.sweeps.take_sweep()) == {}


def test_a_materialised_view_is_a_place_and_a_view_is_information(
    services: Container, superuser: Engine
) -> None:
    execute(
        superuser,
        "CREATE MATERIALIZED VIEW copied AS SELECT id, access_token FROM gh_connection",
        "CREATE VIEW shown AS SELECT id, access_token FROM gh_connection",
        f"GRANT SELECT ON copied, shown TO {OPERATOR}",
    )
    sweep = services.sweeps.take_sweep()
    assert set(places(sweep)) == {"copied.access_token"}
    assert sweep.notes == (
        "public.shown is a view over public.gh_connection: it shows its tokens, which are counted there.",
    )
    assert services.catalogue.refresh().gaps == ()


def test_a_role_that_may_read_nothing_is_told_so(services: Container, platform: Engine, vault: str) -> None:
    execute(platform, f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {OPERATOR}")
    status = services.status.take_census()
    assert status.tokens == 0
    assert not status.coverage.complete
    assert sum("can't be read. Needed: GRANT SELECT" in reason for reason in status.coverage.reasons) == 8
    assert any("public.vault_items" in reason for reason in status.coverage.reasons)


def test_large_objects_are_named(services: Container, superuser: Engine) -> None:
    execute(superuser, "SELECT lo_from_bytea(0, 'abc')")
    (unseen,) = services.sweeps.take_sweep().unseen
    assert unseen.startswith("1 large object can't be searched")


def test_a_table_that_fails_is_named_and_takes_nothing_else_down(
    services: Container, superuser: Engine, vault: str
) -> None:
    execute(
        superuser,
        *(f"CREATE TABLE beside_{n} (id int, note text)" for n in range(6)),
        f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {OPERATOR}",
    )
    with superuser.connect() as holder:
        holder.execute(text("LOCK TABLE beside_3 IN ACCESS EXCLUSIVE MODE"))
        sweep = services.sweeps.take_sweep()
        holder.rollback()
    assert set(places(sweep)) == {"vault_items.secret_json"}
    (unseen,) = sweep.unseen
    assert unseen.startswith("Whether tokens are in public.beside_3 is not known: it took too long")


def test_what_a_table_says_when_it_is_read_is_not_repeated(services: Container, superuser: Engine) -> None:
    execute(
        superuser,
        "CREATE TABLE telling (id int, note text)",
        "INSERT INTO telling VALUES (1, 'ghp_CANARYcanary0123456789')",
        "CREATE FUNCTION tell(note text) RETURNS bool LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'here is %', note; END $$",
        "CREATE POLICY telling ON telling USING (tell(note))",
        "ALTER TABLE telling ENABLE ROW LEVEL SECURITY",
        "CREATE TABLE written (id int)",
        "CREATE TABLE writing (id int, note text)",
        "INSERT INTO writing VALUES (1, 'x')",
        "CREATE FUNCTION write() RETURNS bool LANGUAGE plpgsql AS"
        " $$ BEGIN INSERT INTO written VALUES (1); RETURN true; END $$",
        "CREATE POLICY writing ON writing USING (write())",
        "ALTER TABLE writing ENABLE ROW LEVEL SECURITY",
        f"GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA public TO {OPERATOR}",
    )
    said = " ".join(services.sweeps.take_sweep().unseen)
    assert "public.telling is not known: PostgreSQL didn't read it (SQLSTATE P0001)" in said
    assert "public.writing is not known: PostgreSQL didn't read it (SQLSTATE 42P01)" in said
    assert_tells_nothing(said)


def test_tables_that_time_does_not_suffice_for_are_named(services: Container, vault: str) -> None:
    sweep = SweepService(services.engine, services.catalogue, seconds=0.0).take_sweep()
    assert sweep.found == ()
    (unseen,) = sweep.unseen
    assert "public.vault_items" in unseen
    assert "the time was up" in unseen


def test_a_sweep_can_be_cancelled(services: Container) -> None:
    cancelled: Event = Cancellation()
    cancelled.set()
    with pytest.raises(InterruptedRunError):
        services.sweeps.take_sweep(cancelled=cancelled)


HOSTILE = [
    'quo"te',
    "[/red]",
    "esc\x1b[31m",
    "per%cent %s %(x)s",
    "co:lon :x",
    "back\\slash",
    "ü" * 31,
    "a;--'",
]


def test_names_are_quoted_in_sql_and_cleaned_on_the_way_out(
    services: Container, superuser: Engine, envelope: Envelope
) -> None:
    with superuser.begin() as connection:
        for name in HOSTILE:
            quoted = connection.scalar(text("SELECT quote_ident(:name)"), {"name": name})
            sql = f"CREATE TABLE {quoted} (id int PRIMARY KEY, {quoted} text)"
            connection.exec_driver_sql(sql, execution_options={"no_parameters": True})
            insert = f"INSERT INTO {quoted} VALUES (1, '{envelope()}')"
            connection.exec_driver_sql(insert, execution_options={"no_parameters": True})
        connection.execute(text(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {OPERATOR}"))
    for full in (False, True):
        sweep = services.sweeps.take_sweep(full=full)
        assert {table.name for table in sweep.found} == set(HOSTILE)
        assert {column.name for _, column in sweep.places()} == set(HOSTILE)
        assert all(dict(column.kinds) == {"v1": 1} for _, column in sweep.places())
        assert not any("\x1b" in reason for reason in sweep.reasons)
    assert record_of(Sweep, json.loads(json.dumps(sweep.as_json()))) == replace(
        sweep, seconds=round(sweep.seconds, 3)
    )


def test_a_token_among_many_rows_is_found_by_a_full_sweep(
    services: Container, superuser: Engine, envelope: Envelope
) -> None:
    execute(
        superuser,
        "CREATE TABLE many (id int, note text)",
        "INSERT INTO many SELECT n, md5(n::text) FROM generate_series(1, 20000) n",
        "ANALYZE many",
        f"GRANT SELECT ON many TO {OPERATOR}",
    )
    execute(superuser, "INSERT INTO many VALUES (0, :token)", token=envelope())
    (table,) = services.sweeps.take_sweep(full=True).found
    assert (table.columns[0].rows, dict(table.columns[0].kinds)) == (20_001, {"v1": 1})


def test_a_sample_of_a_large_table_has_first_and_random_rows(
    services: Container, superuser: Engine, envelope: Envelope
) -> None:
    execute(
        superuser,
        "CREATE TABLE many (id int, note text)",
        "INSERT INTO many SELECT n, md5(n::text) FROM generate_series(1, 20000) n",
    )
    execute(superuser, "INSERT INTO many SELECT n, :token FROM generate_series(1, 2000) n", token=envelope())
    execute(superuser, "ANALYZE many", f"GRANT SELECT ON many TO {OPERATOR}")
    (table,) = services.sweeps.take_sweep().found
    # The first rows alone hold none.
    assert table.columns[0].kinds["v1"] >= 1
    assert samples.MOST_ROWS <= table.columns[0].rows <= 5 * samples.MOST_ROWS


# What is remembered.


def test_a_sweep_is_remembered_for_a_day_and_shown_with_its_age(services: Container, vault: str) -> None:
    now = datetime(2026, 5, 1, tzinfo=UTC)
    moments = [now]
    sweeps = SweepService(services.engine, services.catalogue, clock=lambda: moments[-1])
    first = sweeps.known()
    moments.append(now + GOOD_FOR - timedelta(minutes=1))
    for service in (sweeps, SweepService(services.engine, services.catalogue, clock=lambda: moments[-1])):
        assert service.known().taken_at == first.taken_at
        assert places(service.known()) == places(first)
    moments.append(now + GOOD_FOR + timedelta(minutes=1))
    assert sweeps.known().taken_at == moments[-1]


@pytest.mark.parametrize(
    "statement",
    ["CREATE TABLE public.further (id int, note text)", "ALTER TABLE gh_connection ADD COLUMN further text",
     "DROP TABLE vault_items", "ALTER TABLE gh_connection RENAME COLUMN refresh_token TO further",
     "ALTER TABLE vault_items ALTER name TYPE varchar"],
)  # fmt: skip
def test_what_changes_the_tables_makes_a_sweep_old(
    services: Container, platform: Engine, vault: str, statement: str
) -> None:
    first = services.sweeps.known()
    assert services.sweeps.known() == replace(first, seconds=services.sweeps.known().seconds)
    execute(platform, statement)
    assert services.sweeps.known().taken_at > first.taken_at


def test_what_is_declared_since_is_no_longer_found_and_what_no_longer_is_is(
    services: Container,
    with_tables: Callable[[str], Container],
    platform: Engine,
    vault: str,
    envelope: Envelope,
) -> None:
    execute(platform, "CREATE TABLE notes (id text PRIMARY KEY, body text)")
    execute(platform, "INSERT INTO notes VALUES ('n-1', :token)", token=envelope())
    first = services.sweeps.known()
    assert set(places(first)) == {"notes.body", "vault_items.secret_json"}
    declaring = with_tables('[[tables]]\nname = "notes"\ntoken_columns = ["body"]\n')
    assert declaring.sweeps.known().taken_at == first.taken_at
    assert set(places(declaring.sweeps.known())) == {"vault_items.secret_json"}
    again = declaring.sweeps.take_sweep()
    assert set(places(again)) == {"vault_items.secret_json"}
    # It did not look at what it knew: whoever doesn't know it looks anew.
    other = SweepService(services.engine, services.catalogue)
    assert set(places(other.known())) == {"notes.body", "vault_items.secret_json"}


def test_a_sweep_that_saw_all_serves_a_role_that_sees_less(
    services: Container, superuser: Engine, vault: str
) -> None:
    execute(superuser, "CREATE TABLE hidden (id int, note text)", f"REVOKE ALL ON hidden FROM {OPERATOR}")
    assert services.sweeps.known().unseen
    install_for = SweepService(superuser, LiveCatalogue(superuser))
    whole = install_for.take_sweep()
    assert whole.unseen == ()
    known = SweepService(services.engine, services.catalogue).known()
    assert (known.role, known.unseen) == ("postgres", ())
    # And not the other way round.
    limited = services.sweeps.take_sweep()
    assert limited.unseen
    assert SweepService(superuser, LiveCatalogue(superuser)).known().unseen == ()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE keydeck.sweep SET report = '{}'",
        "UPDATE keydeck.sweep SET report = jsonb_set(report, '{found}', '[3]')",
        """UPDATE keydeck.sweep SET taken_at = now() + interval '9 years',
        report = report || '{"found": [], "taken_at": "2099-01-01T00:00:00+00:00"}'""",
    ],
    ids=["empty", "broken", "of the future"],
)
def test_a_remembered_sweep_that_cannot_be_is_none(
    services: Container, superuser: Engine, vault: str, statement: str
) -> None:
    services.sweeps.take_sweep()
    with superuser.begin() as connection:
        connection.exec_driver_sql(statement)
    known = SweepService(services.engine, services.catalogue).known()
    assert set(places(known)) == {"vault_items.secret_json"}


def test_without_the_schema_a_sweep_is_remembered_in_memory(environment: dict[str, str]) -> None:
    engine = open_engine(environment["DATABASE_URL"])
    sweeps = SweepService(engine, LiveCatalogue(engine))
    assert sweeps.known().taken_at == sweeps.known().taken_at
    engine.dispose()


def test_where_nothing_may_be_written_a_sweep_is_remembered_in_memory(
    services: Container, superuser: Engine
) -> None:
    reading = open_engine(services.engine.url.render_as_string(hide_password=False), read_only=True)
    for read_only in (True, False):
        sweeps = SweepService(reading, LiveCatalogue(reading), read_only=read_only)
        assert sweeps.known().taken_at == sweeps.known().taken_at
    assert scalar(superuser, "SELECT count(*) FROM keydeck.sweep") == 0
    reading.dispose()


def test_what_is_remembered_is_names_and_counts_alone(
    services: Container, superuser: Engine, platform: Engine, vault: str
) -> None:
    execute(platform, "INSERT INTO vault_items (name) VALUES ('ghp_CANARYcanary0123456789')")
    services.sweeps.take_sweep(full=True)
    with superuser.connect() as connection:
        stored = connection.scalars(text("SELECT s::text FROM keydeck.sweep s")).all()
    assert stored
    assert_tells_nothing("\n".join(stored))
    assert "djF8" not in "\n".join(stored)

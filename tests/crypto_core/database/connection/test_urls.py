"""URLs as apps have them: what is mapped, what is left out with a word, and what is refused by name."""

from __future__ import annotations

import re
import traceback
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from crypto_core.database.connection.engine import connected, open_engine
from crypto_core.database.connection.url_parameters import OWN, PARAMETERS
from crypto_core.database.connection.urls import DRIVERS, DatabaseUrl, parse_database_url
from crypto_core.values.errors import SettingsError

BASE = "postgresql://app:pw@db.example:6432/tokens"


def parsed(query: str, base: str = BASE) -> DatabaseUrl:
    return parse_database_url(f"{base}?{query}")


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", *(f"postgresql+{d}" for d in DRIVERS if d)])
def test_each_drivers_form_means_the_same(scheme: str) -> None:
    assert parse_database_url(BASE.replace("postgresql", scheme)) == parse_database_url(BASE)


@pytest.mark.parametrize("around", ["\ufeff{}", "{}\r\n", " {} ", '"{}"', "'{}'\r", '\ufeff "{}" \n'])
def test_what_an_editor_or_a_shell_leaves_around_a_url_is_left_out_with_a_word(around: str) -> None:
    found = parse_database_url(around.format(BASE))
    (note,) = found.notes
    assert "byte order mark" in note
    assert found.base == parse_database_url(BASE).base
    assert parse_database_url(BASE).notes == ()


KEYWORDS = [
    # libpq's own
    ("sslmode=require", {"sslmode": "require"}),
    ("sslmode=verify-full&sslrootcert=/ca.pem", {"sslmode": "verify-full", "sslrootcert": "/ca.pem"}),
    ("sslcert=/c.pem&sslkey=/k.pem", {"sslcert": "/c.pem", "sslkey": "/k.pem"}),
    ("channel_binding=require", {"channel_binding": "require"}),
    ("target_session_attrs=read-write", {"target_session_attrs": "read-write"}),
    ("connect_timeout=20", {"connect_timeout": "20"}),
    # asyncpg's, as SQLAlchemy and others write it
    ("ssl=require", {"sslmode": "require"}),
    ("ssl=verify-full", {"sslmode": "verify-full"}),
    ("ssl=prefer", {"sslmode": "prefer"}),
    ("ssl=true", {"sslmode": "verify-full", "sslrootcert": "system"}),
    ("ssl=true&sslrootcert=/ca.pem", {"sslmode": "verify-full", "sslrootcert": "/ca.pem"}),
    ("sslrootcert=/ca.pem&ssl=True", {"sslmode": "verify-full", "sslrootcert": "/ca.pem"}),
    ("ssl=false", {"sslmode": "disable"}),
    ("timeout=12.5", {"connect_timeout": "12.5"}),
    # node-postgres's
    ("sslmode=no-verify", {"sslmode": "require"}),
    # Prisma's
    ("sslmode=require&sslaccept=strict", {"sslmode": "verify-full", "sslrootcert": "system"}),
    ("sslmode=require&sslaccept=accept_invalid_certs", {"sslmode": "require"}),
    ("sslaccept=strict&sslcert=/ca.pem", {"sslmode": "verify-full", "sslrootcert": "/ca.pem"}),
    ("sslcert=/ca.pem&sslaccept=strict", {"sslmode": "verify-full", "sslrootcert": "/ca.pem"}),
    # the strictest of several demands
    ("ssl=disable&sslmode=verify-ca", {"sslmode": "verify-ca"}),
    ("sslmode=verify-ca&ssl=disable", {"sslmode": "verify-ca"}),
]


@pytest.mark.parametrize(("query", "keywords"), KEYWORDS)
def test_what_means_something_to_the_driver_is_mapped(query: str, keywords: dict[str, str]) -> None:
    assert dict(parsed(query).keywords) == keywords
    assert parsed(query).notes == ()


LEFT_OUT = [
    *("pgbouncer=true", "connection_limit=1", "pool_timeout=0", "socket_timeout=5", "statement_cache_size=0"),
    *("prepared_statement_cache_size=0", "prepared_statement_name_func=x", "command_timeout=60"),
    *("application_name=shop", "client_encoding=latin1", "keepalives_idle=600", "prepareThreshold=0"),
    *(
        "supa=base-pooler.x",
        "uselibpqcompat=true",
        "options=-c%20jit%3Don",
        "options=-c%20client_encoding%3Dx",
    ),
    *("pool=5", "checkout_timeout=5", "prepared_statements=false", "default_query_exec_mode=simple_protocol"),
    *("pool_max_conn_idle_time=30m", "statement_cache_capacity=0"),
    *("options=--default-transaction-isolation%3Dserializable", "default_transaction_isolation=serializable"),
]


@pytest.mark.parametrize("query", LEFT_OUT)
def test_what_means_nothing_here_is_left_out_with_a_word(query: str) -> None:
    found = parsed(query)
    (note,) = found.notes
    name, _, why = note.partition(" (")
    assert name.replace("-", "_") in query.replace("-", "_")
    assert len(why) > len("it)")
    assert not found.keywords
    assert not found.server.values


SETTINGS = [
    ("schema=tenant_a", {"search_path": '"tenant_a"'}),
    ("schema=Odd%22one,two", {"search_path": '"Odd""one,two"'}),
    ("search_path=a,b", {"search_path": "a,b"}),
    ("currentSchema=a", {"search_path": "a"}),
    ("options=-c%20search_path%3Da%2Cpublic", {"search_path": "a,public"}),
    ("options=-csearch_path%3Da%20-c%20work_mem%3D64MB", {"search_path": "a", "work_mem": "64MB"}),
    ("options=--search-path%3Da", {"search_path": "a"}),
    (r"options=-c%20search_path%3Da\,\%20b", {"search_path": "a, b"}),
    ("options=-c%20search_path%3Da&schema=b", {"search_path": '"b"'}),
    (
        "options=-c%20app.tenant%3D7&options=-c%20row_security%3Doff",
        {"app.tenant": "7", "row_security": "off"},
    ),
]


@pytest.mark.parametrize(("query", "settings"), SETTINGS)
def test_settings_are_made_in_each_transaction_and_not_sent(query: str, settings: dict[str, str]) -> None:
    found = parsed(query)
    assert dict(found.server.values) == settings
    assert found.server.route == ""
    assert "options" not in found.place


LIMITED = [
    ("statement_timeout=5000", {"statement_timeout": 5_000}),
    ("options=-c%20statement_timeout%3D2min", {"statement_timeout": 120_000}),
    ("options=-c%20lock_timeout%3D0", {}),
    (
        "options=-c%20idle_in_transaction_session_timeout%3D1h",
        {"idle_in_transaction_session_timeout": 3_600_000},
    ),
]


@pytest.mark.parametrize(("query", "limits"), LIMITED)
def test_time_limits_are_read_as_postgresql_does(query: str, limits: dict[str, int]) -> None:
    assert dict(parsed(query).server.limits) == limits


@pytest.mark.parametrize(
    "query",
    ["readOnly=true", "options=-c%20default_transaction_read_only%3Don", "default_transaction_read_only=1"],
)
def test_a_url_that_is_read_only_stays_so(query: str) -> None:
    assert parsed(query).server.read_only
    assert not parsed(
        query.replace("true", "false").replace("Don", "Doff").replace("=1", "=0")
    ).server.read_only


def test_what_a_pooler_reads_in_options_is_sent_to_it() -> None:
    found = parsed("options=endpoint%3Dep-cool-1%20-c%20search_path%3Da")
    assert (found.server.route, dict(found.server.values)) == ("endpoint=ep-cool-1", {"search_path": "a"})
    assert parsed("options=reference%3Dabc").server.route == "reference=abc"


PLACES = [
    ("postgresql://u@a:1,b:2/d", ("a", "b"), ("1", "2")),
    ("postgresql://u@a,b/d", ("a", "b"), ()),
    ("postgresql://u@a:1,b/d", ("a", "b"), ("1", "")),
    ("postgresql://u@[::1]:5432,b:2/d", ("::1", "b"), ("5432", "2")),
    ("postgresql://u@/d?host=a:1&host=b:2", ("a", "b"), ("1", "2")),
    ("postgresql://u@/d?host=a,b&port=1,2", ("a", "b"), ("1", "2")),
    ("postgresql://u@/d?host=a,b&port=1", ("a", "b"), ("1",)),
    ("postgresql://u@%2Fvar%2Frun%2Fpostgresql/d", ("/var/run/postgresql",), ()),
    ("postgresql://u@%2Ftmp:6432/d", ("/tmp",), ("6432",)),
    ("postgresql:///d?user=u&host=/var/run/postgresql", ("/var/run/postgresql",), ()),
    ("postgresql://u@h/d?port=6432", ("h",), ("6432",)),
    ("postgresql://u@h:6432/d?host=other", ("other",), ("6432",)),
    ("postgresql://u@h:6432/d?host=%2Ftmp", ("/tmp",), ("6432",)),
    ("postgresql:///d?user=u", (), ()),
]


@pytest.mark.parametrize(("url", "hosts", "ports"), PLACES)
def test_hosts_are_found_however_they_are_written(
    url: str, hosts: tuple[str, ...], ports: tuple[str, ...]
) -> None:
    found = parse_database_url(url)
    assert (found.user, found.database, found.hosts, found.ports) == ("u", "d", hosts, ports)
    assert found.place.get("host", "") == ",".join(hosts)
    open_engine(url).dispose()


def test_poolers_users_have_their_project_in_them() -> None:
    url = "postgres://postgres.abcdefgh:pw@aws-0-eu-west-1.pooler.supabase.com:6543/postgres?pgbouncer=true"
    found = parse_database_url(url)
    assert (found.user, found.ports) == ("postgres.abcdefgh", ("6543",))


def test_what_acts_on_a_terminal_is_shown_nowhere() -> None:
    found = parse_database_url(
        "postgresql://u@%1b[31m%E2%80%AEh/%1b[0md?sslrootcert=%1b[31m".replace("[", "%5B")
    )
    assert found.hosts == ("\x1b[31m\u202eh",)
    shown = f"{found.host} {found.shown()}"
    assert not {"\x1b", "\u202e"} & set(shown)


def test_percent_signs_are_read_in_every_part() -> None:
    found = parse_database_url("postgresql://a%40b:p%2F%3A%25w@h/my%20db?sslrootcert=%2Fca%20one.pem")
    assert (found.user, found.password, found.database) == ("a@b", "p/:%w", "my db")
    assert found.keywords == {"sslrootcert": "/ca one.pem"}


REFUSED = [
    ("nonsense=secret-word", "'nonsense'"),
    ("sslidentity=secret-word", "'sslidentity'"),
    ("sslmode=secret-word", "sslmode"),
    ("ssl=secret-word", "ssl "),
    ("sslaccept=secret-word", "sslaccept"),
    ("channel_binding=secret-word", "channel_binding"),
    ("target_session_attrs=secret-word", "target_session_attrs"),
    ("connect_timeout=secret-word", "connect_timeout"),
    ("statement_timeout=secret-word", "statement_timeout"),
    ("iam=secret-word", "iam"),
    ("readOnly=secret-word", "readOnly"),
    ("port=secret-word", "port"),
    ("port=99999", "port"),
    ("host=a,b,c&port=1,2", "3 hosts and 2 ports"),
    ("options=-d%20secret-word", "-d"),
    ("options=-c%20Bad!name%3Dsecret-word", "bad!name"),
    ("options=-c%20statement_timeout%3Dsecret-word", "statement_timeout"),
    ("%1b[31mred%E2%80%AE=secret-word", "'[31mred'"),
]


@pytest.mark.parametrize(("query", "named"), REFUSED)
def test_what_is_not_understood_is_refused_by_its_name_and_never_by_its_value(query: str, named: str) -> None:
    url = f"postgresql://u:secret-word@h/d?{query}"
    with pytest.raises(SettingsError) as caught:
        parse_database_url(url, "KEYDECK_STATE_URL")
    said = "".join(traceback.format_exception(caught.value))
    assert named in caught.value.message
    assert "KEYDECK_STATE_URL" in caught.value.message
    assert "secret-word" not in said
    assert "\x1b" not in said


@pytest.mark.parametrize("url", ["postgresql+mysterious://h/d", "http://h/d", "postgresql:/h", "h/d", "://"])
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(SettingsError):
        parse_database_url(url)


def test_every_parameter_is_one_thing() -> None:
    for name, parameter in PARAMETERS.items():
        assert sum(map(bool, (parameter.keyword, parameter.setting, parameter.left_out))) == 1, name
    assert not {p.setting for p in PARAMETERS.values()} & set(OWN) - {"default_transaction_isolation"}


@pytest.mark.parametrize(
    "query", ["sslpassword=secret-word", "password=secret-word", "passfile=secret-word", "x"]
)
def test_no_password_is_shown_or_in_a_repr(query: str) -> None:
    found = parse_database_url(
        "postgresql://u:secret-word@h/d?sslmode=require" + ("" if query == "x" else f"&{query}")
    )
    assert found.has_password
    assert "secret-word" not in f"{found.shown()} {found!r}"
    assert "sslmode=require" in found.shown()


def test_what_is_shown_is_a_url_that_means_the_same() -> None:
    url = "postgres://u@a:1,b:2/d?ssl=require&schema=x&options=-c%20statement_timeout%3D5s&pgbouncer=true"
    found = parse_database_url(url)
    again = parse_database_url(found.shown())
    assert (again.hosts, again.ports, again.keywords) == (found.hosts, found.ports, found.keywords)
    assert (again.server.values, again.server.limits) == (found.server.values, found.server.limits)


IAM = "postgresql://app@acme.cx1.eu-west-1.rds.amazonaws.com:5432/tokens?iam=true"


def test_iam_demands_encryption_that_knows_the_server_unless_the_url_says_otherwise() -> None:
    assert parse_database_url(IAM).keywords == {"sslmode": "verify-full"}
    assert parse_database_url(f"{IAM}&sslmode=require").keywords == {"sslmode": "require"}
    for weaker in ("disable", "allow", "prefer"):
        with pytest.raises(SettingsError, match=r"iam=true.*unencrypted"):
            parse_database_url(f"{IAM}&sslmode={weaker}")
    for place in ("a.invalid,b.invalid", "%2Ftmp", ""):
        with pytest.raises(SettingsError, match="one host and a user"):
            parse_database_url(f"postgresql://app@{place}/tokens?iam=true")
    with_password = parse_database_url(IAM.replace("app@", "app:secret-word@"))
    assert with_password.password is None
    assert "password" in with_password.notes[0]
    assert not parse_database_url(IAM.replace("true", "false")).iam


@pytest.mark.parametrize("streamed", [False, True])
def test_values_reach_the_server_as_they_are(database_url: str, streamed: bool) -> None:
    odd = "%s %(x)s %% ' \" \\ ; DROP TABLE x; -- é \U0001f512 $1 :name\n\t"
    escaped = re.sub(r"([\\\s])", r"\\\1", odd)
    engine = open_engine(f"{database_url}&options={quote(f'-c app.odd={escaped}')}")
    for parameters in ({}, {"x": "%s"}):
        with connected(engine) as connection:
            asked = text("SELECT current_setting('app.odd')" + (", CAST(:x AS text)" if parameters else ""))
            row = connection.execute(asked, parameters, execution_options={"stream_results": streamed}).one()
            assert row[0] == odd
    engine.dispose()


@given(st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=20))
def test_a_schemas_name_is_one_identifier_whatever_it_holds(name: str) -> None:
    (setting,) = parsed(f"schema={quote(name)}").server.values.items()
    inner = setting[1][1:-1]
    assert inner.replace('""', "").count('"') == 0
    assert inner.replace('""', '"') == name


def test_limits_and_isolation_are_keydecks_whatever_the_url_asks_for(database_url: str) -> None:
    asked = {
        "statement_timeout": "10min",
        "lock_timeout": "3s",
        "idle_in_transaction_session_timeout": "0",
        "jit": "on",
        "transaction_isolation": "serializable",
        "default_transaction_isolation": "serializable",
        "application_name": "shop",
        "client_encoding": "latin1",
        "datestyle": "German",
        "standard_conforming_strings": "off",
    }
    options = quote(" ".join(f"-c {name}={value}" for name, value in asked.items()))
    engine = open_engine(f"{database_url}&options={options}")
    with connected(engine) as connection:
        found: dict[str, Any] = {n: connection.scalar(text(f"SHOW {n}")) for n in asked}
        assert connection.scalar(text("SHOW transaction_read_only")) == "on"
    assert found == {
        "statement_timeout": "1min",
        "lock_timeout": "3s",
        "idle_in_transaction_session_timeout": "2min",
        "jit": "off",
        "transaction_isolation": "read committed",
        "default_transaction_isolation": "read committed",
        "application_name": "keydeck",
        "client_encoding": "UTF8",
        "datestyle": "ISO, MDY",
        "standard_conforming_strings": "on",
    }
    engine.dispose()


def test_pgoptions_are_read_where_the_url_has_none(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGOPTIONS", "-c search_path=from_environment")
    for url, expected in (
        (database_url, "from_environment"),
        (f"{database_url}&options=-c%20search_path%3Dfrom_url", "from_url"),
    ):
        engine = open_engine(url)
        with connected(engine) as connection:
            assert connection.scalar(text("SELECT current_setting('keydeck.search_path')")) == expected
            assert connection.scalar(text("SHOW search_path")) == "pg_catalog, pg_temp"
        engine.dispose()
    monkeypatch.setenv("PGOPTIONS", "-d 5")
    with pytest.raises(SettingsError, match="PGOPTIONS has options"):
        parse_database_url(database_url)

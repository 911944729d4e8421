"""The filter as SQL: the same answer, whatever stands in it."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sqlalchemy import table

from crypto_core.trail.event import TrailEvent
from crypto_core.trail.event_sql import EngineStatement, can_be_literal, quoted
from crypto_core.trail.record_reader import read_record
from crypto_core.trail.sources.engine_rows import record_of
from crypto_core.trail.sources.engines.record_sql import RecordTable, question
from crypto_core.trail.sources.pull_query import PullQuery, asked
from crypto_core.trail.store.pulls import DeliveryBucket
from crypto_core.values.errors import InvalidFilterError
from tests.crypto_core.trail.records import KEY, NOW, OTHER_KEY, context, denied, record, role, user
from tests.crypto_core.trail.sources.engines.trino import COLUMNS, cloudtrail_row, rows_of, trino

ALIASES = {KEY: ("alias/Tokens",)}
SERVICE = {"userIdentity": {"type": "AWSService", "invokedBy": "backup.amazonaws.com"}}
HOSTILE = (
    "'",
    "''",
    "' OR '1'='1",
    "'; DROP TABLE events; --",
    "\\",
    "\\'",
    "%",
    "_",
    "!",
    "!%",
    "?",
    "??",
    ";",
    "--",
    "/*",
    '"x',
    "${x}",
    ":eventtime",
    "a\u2028b",
    "\u2019",
    "ſ",
    "İ",
    "\u200b",
    "\ue000",
    "'" * 380,
    "_" * 400,
    "_" * 700,
    "y" * 995,
    "x" * 401,
    "!_%'" * 100,
)


def ask(expression: str = "", **window: Any) -> PullQuery:
    since, until = window.get("since", NOW - timedelta(days=1)), window.get("until", NOW)
    return asked(since, until, expression, aliases=lambda: ALIASES, now=NOW)


def for_athena(what: PullQuery, regions: Sequence[str] = (), **more: Any) -> EngineStatement:
    return question(what, RecordTable(table("logs", schema="audit"), **more), regions, 100_000)


_TABLES: dict[tuple[object, ...], Any] = {}


def asked_of(query: EngineStatement, records: Sequence[Mapping[str, Any]]) -> list[dict[str, str | None]]:
    """Run a query over a table of some records."""
    known = tuple(map(id, records))
    if known not in _TABLES:
        _TABLES[known] = records, trino(map(cloudtrail_row, records), COLUMNS)
    return rows_of(_TABLES[known][1], query.inlined)


def ids(what: PullQuery, records: list[dict[str, Any]]) -> tuple[set[str], set[str]]:
    """The records that the query lets through, and those that are wanted."""
    query = for_athena(what)
    found = {str(row["eventid"]) for row in asked_of(query, records)}
    wanted = {e.event_id for r in records if (e := read_record(r)) is not None and what.wants(e)}
    return found, wanted


RECORDS = [
    record(),
    record("Encrypt", ago=3_600),
    record("GenerateDataKey", context=context("gh-42"), who=user()),
    record(key=OTHER_KEY, who=role("platform", "O'Brien")),
    record(awsRegion="us-east-1", recipientAccountId=None),
    record(recipientAccountId="999988887777", eventID="ABC"),
    record(recipientAccountId=":"),
    record(recipientAccountId=":", userIdentity={"type": "IAMUser", "accountId": "999988887777"}),
    record(recipientAccountId=None, userIdentity={"type": "IAMUser", "accountId": ":"}),
    record(errorCode="AccessDenied", errorMessage="x%y"),
    record(errorCode="", sourceIPAddress="198.51.100.7"),
    record("StopLogging", eventSource="cloudtrail.amazonaws.com", key=None, userIdentity=None),
    record("PutObject", eventSource="s3.amazonaws.com"),
    record(sourceIPAddress="AWS Internal"),
    record(sourceIPAddress="rds.amazonaws.com", userAgent=None),
    record(eventType="AwsServiceEvent"),
    record(userIdentity={"type": "Root", "arn": "arn:aws:iam::111122223333:root"}),
    record(key=None, requestParameters={"keyId": KEY.rsplit("/", 1)[-1]}),
    record(key=None, requestParameters={"keyId": "alias/tokens"}),
    denied(),
    denied(key=OTHER_KEY, errorCode="AccessDeniedException"),
    *(record(SERVICE and "Decrypt", **SERVICE) for _ in range(2)),
    *(record(sourceIPAddress=value, errorCode=value) for value in HOSTILE[:16]),
    *(record(who=user(value)) for value in HOSTILE[:16]),
]

EXPRESSIONS = (
    "",
    "name:Decrypt",
    "name:decrypt,encrypt",
    "-name:Decrypt",
    "name:*Key",
    "name:GenerateData*,Stop*",
    "error:*",
    "-error:*",
    "error:Access*",
    "-error:AccessDenied",
    "ip:198.51.100.7",
    "ip:198.51.100.0/24",
    "-ip:*.amazonaws.com",
    "region:us-east-1",
    "-region:us-east-1",
    "account:111122223333",
    "account:999988887777",
    "-account:999988887777",
    "-account:1111*",
    'account:":"',
    '-account:":"',
    "source:kms",
    "source:cloudtrail.amazonaws.com",
    "-source:kms",
    "source:k*",
    "access_key:AKIA*",
    "id:abc",
    "principal:intruder",
    "principal:role/platform",
    "principal:arn:aws:iam::111122223333:role/platform",
    "principal:*intrud*",
    "principal:root",
    "principal:backup.amazonaws.com",
    "-principal:intruder",
    "principal:iam",
    f"key:{KEY}",
    f"key:{KEY.rsplit('/', 1)[-1]}",
    "key:alias/tokens",
    "key:alias/Tokens,alias/other",
    f"-key:{KEY}",
    "key:1234*",
    "service",
    "-service",
    "failed",
    "-failed",
    "denied",
    "-denied",
    "root",
    "-root",
    "human",
    "-human",
    "since:30m",
    "until:30m",
    "-since:30m",
    "time:2026-11-25",
    "time:>2026-11-25T11:30",
    "intruder",
    "-intruder",
    "token:gh-42",
    "session:api-1 name:Decrypt -service error:*",
    "agent:Boto3*",
)


@pytest.mark.parametrize("expression", EXPRESSIONS, ids=range(len(EXPRESSIONS)))
def test_what_is_wanted_is_never_left_out(expression: str) -> None:
    what = ask(expression)
    found, wanted = ids(what, RECORDS)
    assert wanted <= found


@pytest.mark.parametrize(
    "expression",
    [
        *("name:Decrypt", "-name:Decrypt", "name:*Key", "error:*", "-error:Access*", "ip:198.51.100.7"),
        *("region:us-east-1", "-region:us-east-1", "account:999988887777", "source:cloudtrail", "id:abc"),
        *(
            "name:Encrypt -service",
            "name:Encrypt service",
            "failed",
            "denied",
            "-denied",
            "root",
            "since:30m",
            "until:30m",
        ),
        *("principal:intruder", "principal:role/platform", "key:alias/tokens", f"key:{OTHER_KEY}"),
    ],
    ids=range(23),
)
def test_only_what_is_wanted_is_fetched(expression: str) -> None:
    what = ask(expression)
    query = for_athena(what)
    found, wanted = ids(what, [r for r in RECORDS if r.get("errorCode") != ""])
    assert found == wanted
    assert query.left == ()


def test_what_the_query_does_not_decide_is_said() -> None:
    query = for_athena(ask("agent:x* name:Decrypt token:gh-1 free -principal:x ip:10.0.0.0/8"))
    assert query.left == ("agent", "token", "free text", "principal", "ip")


@pytest.mark.quick(60)
@pytest.mark.parametrize("value", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("field", ["name", "error", "ip", "principal", "source", "key", "account", ""])
def test_hostile_values_are_values_and_nothing_else(value: str, field: str) -> None:
    written = f'"{value}"' if '"' not in value else value
    expression = f"{field}:{written}" if field else written
    if '"' in value:
        expression = f"{field}:x{value[1:]}" if field else value[1:]
    what = ask(expression)
    query = for_athena(what)
    assert value not in query.statement or value in ("_", "?", "'", "!")
    assert query.statement.count("?") == len(query.values)
    # Neither ends a literal nor begins a comment: what is left without literals is the same for all.
    assert all(len(one) <= 1_024 for one in query.literals)
    found, wanted = ids(what, RECORDS)
    assert wanted <= found
    assert found <= {str(r["eventID"]) for r in RECORDS}


def test_a_quote_in_a_value_finds_exactly_that_value() -> None:
    what = ask("principal:\"' OR '1'='1\"")
    found, wanted = ids(what, RECORDS)
    assert found == wanted
    assert len(found) == 1


def test_wildcards_of_sql_in_a_value_stand_for_themselves() -> None:
    for value in ("%", "_", "!%"):
        what = ask(f'error:"{value}"')
        found, wanted = ids(what, RECORDS)
        assert found == wanted
        assert len(found) == 1
    found, wanted = ids(ask("error:*%"), RECORDS)
    assert found == wanted
    assert len(found) == 2


@pytest.mark.deep
@given(st.text(max_size=40))
def test_a_literal_is_the_text_that_it_was_made_of(value: str) -> None:
    if not can_be_literal(value):
        with pytest.raises(ValueError, match="can't be a literal"):
            quoted(value)
        return
    with closing(sqlite3.connect(":memory:")) as connection, connection:
        assert connection.execute(f"SELECT {quoted(value)}").fetchone() == (value,)


_TEXTS = st.text(alphabet="ab'%_!\\;?*-/:.AB ", min_size=1, max_size=6)
_FIELDS = st.sampled_from(["name", "error", "ip", "region", "source", "principal", "access_key", "account"])


@given(
    field=_FIELDS,
    value=_TEXTS.filter(lambda t: '"' not in t),
    plain=st.booleans(),
    shape=st.sampled_from(
        ["{}", "-{}", "({} OR region:b)", "NOT ({} OR region:b)", "(error:* {}) OR name:a"]
    ),
    texts=st.lists(st.one_of(st.none(), _TEXTS), min_size=7, max_size=7),
)
@example("account", ":", False, "-{}", [None, None, None, None, ":", None, None])
def test_no_filter_leaves_out_what_is_wanted(
    field: str, value: str, plain: bool, shape: str, texts: list[str | None]
) -> None:
    name, error, ip, region, account, user_name, access_key = texts
    one = record(
        name or "Decrypt",
        errorCode=error,
        sourceIPAddress=ip,
        awsRegion=region,
        recipientAccountId=account,
        userIdentity={"type": "IAMUser", "userName": user_name, "accessKeyId": access_key},
    )
    bare = "".join(c for c in value if c not in " ,")
    if plain and not bare:
        return
    written = bare if plain else f'"{value}"'
    try:
        what = ask(shape.format(f"{field}:{written}"))
    except InvalidFilterError:
        assert plain  # in quotes every text is one
        return
    found, wanted = ids(what, [one])
    assert wanted <= found


def test_an_or_is_asked_for_where_all_of_it_can_be() -> None:
    both = for_athena(ask("name:Decrypt OR error:*")).inlined
    assert "lower(eventname) = 'decrypt' OR" in both
    half = for_athena(ask("(name:Decrypt agent:x) OR error:*"))
    assert "lower(eventname) = 'decrypt' OR" in half.inlined
    unknown = for_athena(ask("name:Decrypt OR agent:x OR /a/"))
    assert "eventname) =" not in unknown.inlined
    assert unknown.left == ("name", "agent", "free text")


def test_the_window_the_services_and_the_regions_are_always_asked_for() -> None:
    early, late = record(ago=90_000), record(ago=-60)
    edges = [record(ago=86_400), record(ago=0)]
    found, _ = ids(ask(), [early, late, *edges, record("X", eventSource="s3.amazonaws.com")])
    assert found == {r["eventID"] for r in edges}
    query = for_athena(ask(), regions=["us-east-1", "x'y"])
    rows = asked_of(query, RECORDS)
    assert {row["awsregion"] for row in rows} == {"us-east-1"}
    assert "'x''y'" in query.inlined


def same(event: TrailEvent | None) -> dict[str, Any]:
    assert event is not None
    return event.as_json() | {"read_only": event.read_only}


def test_a_row_becomes_the_event_that_its_record_is() -> None:
    query = for_athena(ask())
    by_id: Mapping[str, Any] = {str(r["eventID"]): r for r in RECORDS}
    rows = asked_of(query, RECORDS)
    assert len(rows) == len(RECORDS) - 1
    for row in rows:
        read = same(read_record(record_of(row)))
        assert read == same(read_record(by_id[str(row["eventid"])]))


def test_columns_that_a_table_lacks_are_not_asked_for() -> None:
    query = for_athena(ask(), has=lambda name: name in ("eventid", "eventtime", "eventsource", "eventname"))
    assert "NULL AS serviceeventdetails" in query.statement
    assert "NULL AS resource_arns" in query.statement
    assert "useridentity" not in query.statement
    (row,) = asked_of(query, RECORDS[:1])
    event = read_record(record_of(row))
    assert event is not None
    assert (event.name, event.principal.arn, event.key_arns) == ("Decrypt", "", ())


@pytest.mark.parametrize("text_", ["{", "7", '"x"', "[1", '{"a": "{"}', ""], ids=range(6))
def test_a_document_that_is_broken_is_none(text_: str) -> None:
    read = partial(read_record, record_of({"eventname": "Decrypt", "requestparameters": text_}))
    event = read()
    assert event is not None
    assert event.encryption_context == {}


def test_changes_of_the_trails_buckets_are_asked_for_by_name() -> None:
    written = for_athena(ask().about([DeliveryBucket("trail-1", "eu-west-1", "123456789012")])).inlined
    assert "LIKE '%trail-1%'" in written
    assert "eventsource = 's3.amazonaws.com' AND eventname IN ('CreateBucket', " in written

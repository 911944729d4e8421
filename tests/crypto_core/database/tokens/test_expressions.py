"""What SQL tells of a stored value is what Python tells of it, and no value can fail the statement."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, LargeBinary, Text, bindparam, column, func, make_url, select
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import ARRAY

from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World
from crypto_core import envelope
from crypto_core.database.connection.engine import open_engine
from crypto_core.database.tokens import expressions
from crypto_core.database.tokens.spellings import has_v1_fields
from crypto_core.database.tokens.store import digest
from crypto_core.database.tokens.tables import PLATFORM_TABLES
from crypto_core.database.tokens.token_source import token_source
from crypto_core.values.errors import EnvelopeError
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import DataKey, Secret
from tests.crypto_core.envelope.spellings import drawn_value, published_fields, stored_text
from tests.lanes import examples

HEADER = bytes.fromhex("0102030078")
ARN = "arn:aws:kms:us-east-1:111122223333:key/12345678-1234-1234-1234-123456789012"
LONG_ARN = "arn:aws-us-gov:kms:us-gov-west-1:111122223333:key/mrk-12345678-1234-1234-1234-123456789012"


@pytest.mark.parametrize("seed", range(4))
def test_sql_takes_for_v1_exactly_what_the_platforms_reader_opens(engine: Engine, seed: int) -> None:
    random = Random(seed)
    values = [drawn_value(random) for _ in range(1_000)]
    texts = [stored_text(value) for value in values]
    source = (
        func.unnest(bindparam("stored_values", texts, ARRAY(Text)))
        .table_valued(column("stored", Text), with_ordinality="number")
        .render_derived(name="given")
    )
    stored: Any = source.c.stored
    statement = select(has_v1_fields(stored)).order_by(source.c.number)
    with engine.connect() as connection:
        opens = connection.scalars(statement).all()
    assert opens == [published_fields(value) is not None for value in values]
    for value, in_database, text in zip(values, in_sql(engine, texts), texts, strict=True):
        assert in_database.format == envelope.classify(text).format
        assert in_database.digest == digest(text)
        # Where SQL decodes nothing for it, KMS is asked about the value itself.
        fields = published_fields(value)
        if fields is not None and in_database.prefix is not None:
            assert in_database.prefix == envelope.edk_prefix(fields[0])


@dataclass(frozen=True)
class Told:
    """What is told of one value."""

    format: str
    provider: str | None
    prefix: bytes | None
    digest: bytes


@pytest.fixture(scope="module")
def engine(sandbox: Sandbox) -> Iterator[Engine]:
    # Not the generated database: while somebody is connected to it no copy can be made of it.
    url = make_url(sandbox.superuser_url).set(database="postgres")
    opened = open_engine(url.render_as_string(hide_password=False), read_only=True)
    yield opened
    opened.dispose()


def in_sql(engine: Engine, values: Sequence[str]) -> list[Told]:
    source = (
        func.unnest(bindparam("stored_values", list(values), ARRAY(Text)))
        .table_valued(column("stored", Text), with_ordinality="number")
        .render_derived(name="given")
    )
    stored: Any = source.c.stored
    statement = select(
        expressions.format_of(stored),
        expressions.plaintext_provider_of(stored),
        expressions.edk_prefix_of(stored),
        expressions.digest_of(stored),
    ).order_by(source.c.number)
    with engine.connect() as connection:
        return [
            Told(f, p, bytes(e) if e is not None else None, bytes(d))
            for f, p, e, d in connection.execute(statement)
        ]


def in_python(stored: str) -> Told:
    told = envelope.classify(stored)
    return Told(told.format.value, told.provider, prefix_in_python(stored), digest(stored))


def prefix_in_python(stored: str) -> bytes | None:
    """The EDK prefix, also of values that are broken further behind: told from the first 72 characters."""
    try:
        return envelope.parse(stored).edk_prefix
    except EnvelopeError:
        pass
    if stored.startswith(("djJ8", "dmJ8")):
        return prefix_of_v2_in_python(stored[4 : expressions.V2_CHARACTERS + 4])
    head = stored[4:72]
    if not stored.startswith("djF8") or not re.fullmatch("[A-Za-z0-9+/]{68}", head, re.ASCII):
        return None
    inner = base64.b64decode(head)
    if not re.fullmatch(rb"[A-Za-z0-9+/]{51}", inner):
        return None
    return envelope.edk_prefix(base64.b64decode(inner[:50] + b"==") + b"more")


def prefix_of_v2_in_python(head: str) -> bytes | None:
    """The EDK stands behind the key ARN, which nobody reads here."""
    if len(head) < expressions.V2_CHARACTERS or not re.fullmatch("[A-Za-z0-9+/]+", head, re.ASCII):
        return None
    edk = [*base64.b64decode(head).split(b"|"), b""][1][:51]
    if not re.fullmatch(rb"[A-Za-z0-9+/]{51}", edk):
        return None
    return envelope.edk_prefix(base64.b64decode(edk[:50] + b"==") + b"more")


def v2(inner: bytes) -> str:
    return base64.b64encode(b"v2|" + inner).decode()


def sealed_v2(edk: bytes, arn: str = ARN, row_id: str = "gh-1", binding: str | None = None) -> str:
    ref = TokenRef("gh_connection", "access_token", row_id)
    token, data_key = Secret.of("made up"), DataKey(os.urandom(32))
    format_ = envelope.bound_format(envelope.Format.V2, binding)
    return envelope.serialise(
        envelope.seal(token, data_key, edk, format_=format_, key_arn=arn, ref=ref, binding=binding)
    )


def sealed(edk: bytes) -> str:
    return envelope.serialise(envelope.EnvelopeV1(edk, os.urandom(12), os.urandom(40)))


def v1(inner: bytes) -> str:
    return base64.b64encode(b"v1|" + inner).decode()


GOOD = HEADER + bytes(range(32)) + bytes(147)
HOSTILE = [
    "",
    " ",
    "djF8",
    "djF8" + "=" * 68,
    "djF8" + "!" * 68,
    "djF8" + "A" * 67,
    "djF8" + "A" * 68,
    "djF8" + "A" * 67 + "=",
    "djF8" + "A" * 66 + "==",
    "djF8" + "é" * 68,
    "djF8" + "\n" + "A" * 68,
    "djF8" + "A" * 34 + "\n" + "A" * 34,
    "djF8" + "A" * 67 + "\n",
    "djF8 " + "A" * 68,
    "djF8" + "٣" * 68,
    "djf8" + "A" * 68,
    "DJF8",
    " djF8AAAA",
    "djJ8",
    "djJ8" + "*" * 100,
    "djJ8" + "*" * 400,
    "djJ8" + "A" * expressions.V2_CHARACTERS,
    "djJ8" + "A" * (expressions.V2_CHARACTERS - 1),
    "djJ8" + "A" * (expressions.V2_CHARACTERS - 1) + "=" * 5,
    "djJ8" + "é" * 400,
    "djJ8" + "\n" * 400,
    "djJ8AQIDAHg" + "A" * 60,
    "djJ8AQIDAHg" + "A" * 400,
    "djJ8AQIDAHg" + "A" * 400 + "*",
    sealed_v2(GOOD),
    sealed_v2(GOOD, LONG_ARN),
    sealed_v2(GOOD, binding="acme"),
    sealed_v2(GOOD, LONG_ARN, binding="x" * 64),
    sealed_v2(b"an EDK without a header", binding="acme"),
    sealed_v2(GOOD, binding="acme")[: expressions.V2_CHARACTERS + 3],
    sealed_v2(b"an EDK without a header"),
    sealed_v2(GOOD)[: expressions.V2_CHARACTERS + 3],
    sealed_v2(GOOD)[: expressions.V2_CHARACTERS + 4],
    sealed_v2(GOOD) + "=",
    sealed_v2(GOOD)[:200] + "*" + sealed_v2(GOOD)[201:],
    v2(b"\xff" * 400),
    v2(b"\x00" * 400),
    v2(b"\\" * 400),
    v2(b"|" * 400),
    v2(b"QVJO|AQIDAHg" + b"A" * 43 + b"|" + b"A" * 300),
    v2(b"QVJO|AQIDAHg" + b"A" * 42 + b"|" + b"A" * 300),
    v2(b"|AQIDAHg" + b"\\" * 50 + b"A" * 300),
    v2(b"\\" * 50 + b"|AQIDAHg" + b"A" * 300),
    v2(b"A" * 400 + b"|AQIDAHg" + b"A" * 50),
    "ZGV2f",
    "ZGV2",
    "ZGV2fA==",
    v1(b"\xff" * 100),
    v1(b"\x00" * 100),
    v1(b"\\" * 100),
    v1(b"\\012" * 30),
    v1(b"|" * 100),
    v1(b"AQIDAHg" + b"A" * 43),
    v1(b"AQIDAHg" + b"A" * 44),
    v1(b"AQIDAHg" + b"A" * 43 + b"="),
    v1(b"AQIDAHg" + b"A" * 42 + b"=="),
    v1(b"AQIDAHg" + b"/" * 44),
    v1(b"AQIDAHgA" + b"A" * 44)[:-10],
    v1(b"AQIDAHg\n" + b"A" * 44),
    v1(b"AQIDAHg" + b"A" * 20 + b"\n" + b"A" * 30),
    sealed(GOOD)[:71],
    sealed(GOOD)[:72],
    sealed(GOOD) + "=",
    sealed(GOOD).rstrip("="),
    sealed(GOOD) + "\n",
    "\ufeff" + sealed(GOOD),
    "github_pat_" + "'; DROP TABLE gh_connection; --",
    "ghp_%s%(x)s:name $1 \\",
    "GHP_ABC",
    "ghp",
    "xoxb-ü",
    "xoxe.xoxp-1",
    "xapp-\u202e",
    "ATATT3\u0000".replace("\u0000", "\u0001"),
    "ATCTT3",
    "атАТТ3",
    "[object Object]",
    "null",
    "'\"\\`",
    "😀" * 50,
    "djF8" + "😀" * 68,
    *(prefix + "KEYDECKDEMO" for prefixes in envelope.PROVIDER_PREFIXES.values() for prefix in prefixes),
    *envelope.STORED_PREFIXES.values(),
]


def test_every_generated_value_is_told_alike_in_sql_and_python(
    environment: dict[str, str], platform: Engine, world: World
) -> None:
    compared = 0
    with platform.connect() as connection:
        for table in PLATFORM_TABLES:
            for name in table.token_columns:
                source = token_source(table, name)
                stored = source.stored
                statement = select(
                    source.id,
                    stored,
                    expressions.format_of(stored),
                    expressions.plaintext_provider_of(stored),
                    expressions.edk_prefix_of(stored),
                    expressions.digest_of(stored),
                ).where(stored.is_not(None))
                for _, value, format_, provider, prefix, digest_ in connection.execute(statement):
                    told = Told(format_, provider, bytes(prefix) if prefix else None, bytes(digest_))
                    assert told == in_python(value)
                    compared += 1
    assert compared == len(world.tokens)


@pytest.mark.parametrize("stored", HOSTILE, ids=[f"{n}" for n in range(len(HOSTILE))])
def test_a_hostile_value_is_told_alike_in_sql_and_python(engine: Engine, stored: str) -> None:
    assert in_sql(engine, [stored]) == [in_python(stored)]


def test_one_corrupt_row_among_many_fails_no_statement(engine: Engine) -> None:
    values = [*HOSTILE, *(sealed(GOOD) for _ in range(20))]
    assert in_sql(engine, values) == [in_python(v) for v in values]


@pytest.mark.quick(1)
@pytest.mark.parametrize("beginning", ["", "djF8", "ghp_", sealed(GOOD)])
def test_a_value_of_ten_megabytes_is_told_alike(engine: Engine, beginning: str) -> None:
    stored = beginning + "A" * 10_000_000
    (told,) = in_sql(engine, [stored])
    assert told == in_python(stored)


@pytest.mark.parametrize("length", [1, 5, 36, 37, 38, 39, 40, 41, 184, 6144])
def test_the_prefix_of_an_edk_of_any_length_is_the_one_that_python_finds(engine: Engine, length: int) -> None:
    edk = (GOOD * 40)[:length]
    (told,) = in_sql(engine, [sealed(edk)])
    assert told.prefix == envelope.edk_prefix(edk) == (edk[:37] if length > 37 else None)


@pytest.mark.parametrize("make", [sealed, sealed_v2])
def test_envelopes_of_one_key_material_share_few_heads_and_a_head_tells_their_prefix(
    engine: Engine, make: Callable[[bytes], str]
) -> None:
    """What the census computes once a head would be of no use if every envelope had a head of its own."""
    values = [make(GOOD[:37] + os.urandom(147)) for _ in range(2000)]
    heads = func.unnest(bindparam("values", values, ARRAY(Text))).column_valued("stored")
    with engine.connect() as connection:
        rows = connection.execute(
            select(expressions.head_of(heads), expressions.edk_prefix_of_head(expressions.head_of(heads)))
        ).all()
    assert {bytes(prefix) for _, prefix in rows} == {GOOD[:37]}
    assert len({head for head, _ in rows}) <= 1024


@pytest.mark.parametrize("arn", [ARN, LONG_ARN])
@pytest.mark.parametrize("length", [1, 5, 36, 37, 38, 39, 40, 41, 184, 6144])
def test_the_prefix_of_a_v2_envelope_is_found_behind_its_key_arn(
    engine: Engine, length: int, arn: str
) -> None:
    edk = (GOOD * 40)[:length]
    (told,) = in_sql(engine, [sealed_v2(edk, arn)])
    assert told.prefix == envelope.edk_prefix(edk)


def test_every_version_header_is_recognised_alike(engine: Engine) -> None:
    tail = os.urandom(179)
    headers = [bytes([1, a, b, 0, 0x78]) for a in range(0, 256, 5) for b in range(0, 256, 5)]
    headers += [bytes([a, 2, 3, b, c]) for a in (0, 1, 2) for b in (0, 1) for c in (0x77, 0x78, 0x79)]
    edks = [header + tail for header in headers]
    told = in_sql(engine, [sealed(edk) for edk in edks])
    assert [t.prefix for t in told] == [envelope.edk_prefix(edk) for edk in edks]
    assert sum(t.prefix is not None for t in told) >= 16


def test_the_prefix_says_nothing_of_what_follows_it(engine: Engine) -> None:
    edks = [GOOD[:37] + os.urandom(147) for _ in range(200)]
    assert {t.prefix for t in in_sql(engine, [sealed(edk) for edk in edks])} == {GOOD[:37]}


_beginnings = st.sampled_from(
    ["", "djF8", "djJ8", "ZGV2f", "ghp_", "xoxb-", v1(b"AQIDAHg"), sealed(GOOD)[:60], sealed(GOOD)]
)
_texts = st.text(st.characters(exclude_characters="\x00", exclude_categories=("Cs",)), max_size=120)
_base64 = st.text("ABCDabcd0189+/=", max_size=120)


@settings(max_examples=examples(60), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(_beginnings, st.one_of(_texts, _base64)), min_size=1, max_size=40))
@example([("djF8", "\\000"), ("djF8", "%s %% %(a)s")])
def test_any_value_is_told_alike_in_sql_and_python(engine: Engine, parts: list[tuple[str, str]]) -> None:
    values = [beginning + rest for beginning, rest in parts]
    assert in_sql(engine, values) == [in_python(v) for v in values]


@settings(max_examples=examples(60), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.binary(min_size=1, max_size=120), min_size=1, max_size=40), st.booleans())
def test_any_edk_has_the_prefix_that_python_finds(engine: Engine, edks: list[bytes], header: bool) -> None:
    given_ = [HEADER + edk if header else edk for edk in edks]
    assert [t.prefix for t in in_sql(engine, [sealed(e) for e in given_])] == [
        envelope.edk_prefix(e) for e in given_
    ]


@settings(max_examples=examples(60), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 300), st.integers(0, 255))
def test_a_changed_byte_anywhere_fails_no_statement(engine: Engine, place: int, byte: int) -> None:
    raw = bytearray(base64.b64decode(sealed(GOOD)))
    raw[place % len(raw)] = byte
    stored = base64.b64encode(raw).decode()
    (told,) = in_sql(engine, [stored])
    assert told == in_python(stored)


def test_the_digest_is_the_stores_digest(engine: Engine) -> None:
    assert [t.digest for t in in_sql(engine, ["ü", "djF8"])] == [digest("ü"), digest("djF8")]


@settings(max_examples=examples(60), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\0")),
            st.none() | st.binary(),
        )
    )
)
@example([("NULL", b"\\x41"), (None, None), ('a"\\,{}%s', b""), ("", b"\0")])
def test_rows_hold_what_they_are_made_of(engine: Engine, rows: list[tuple[str | None, bytes | None]]) -> None:
    columns: dict[str, tuple[list[Any], Any]] = {
        "text": ([text for text, _ in rows], Text),
        "bytes": ([some for _, some in rows], LargeBinary),
    }
    with engine.connect() as connection:
        found = connection.execute(select(expressions.unnested("made", columns))).all()
    assert [tuple(row) for row in found] == rows


def test_ids_are_found_by_their_own_type(environment: dict[str, str], platform: Engine) -> None:
    table = next(t for t in PLATFORM_TABLES if t.name == "slack_connection")
    with platform.begin() as connection:
        connection.execute(sql("TRUNCATE slack_connection"))
        for number in (10, 9, 100, 2147483647, 1):
            connection.execute(
                sql(
                    "INSERT INTO slack_connection (id, org_id, team_id, bot_token, created_at, updated_at)"
                    " OVERRIDING SYSTEM VALUE VALUES (:id, 'o', 't', 'xoxb-1', now(), now())"
                ),
                {"id": number},
            )
    source = expressions.table_of(table)
    with platform.connect() as connection:
        found = connection.scalars(
            select(source.c.id).where(expressions.id_in(table, source, ["9", "5"]))
        ).all()
    assert found == [9]


def test_every_format_is_told_by_sql(engine: Engine) -> None:
    values = ["djF8", "djJ8", "dmJ8", "ZGV2f", "ghp_1", "?", ""]
    assert {t.format for t in in_sql(engine, values)} == {f.value for f in envelope.Format}

"""Columns of every type whose values are one token each: read, swapped as a whole, never failing a count."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text

from console.container import Container
from crypto_core import encrypt_token
from crypto_core.database.tokens.census import take_census
from crypto_core.database.tokens.json_documents import find_string, text_of_bytes
from crypto_core.database.tokens.store import Replacement
from crypto_core.database.tokens.tables import TokenTable
from crypto_core.database.tokens.token_source import token_source
from crypto_core.envelope import Format
from crypto_core.values.errors import InvalidReferenceError
from crypto_core.values.references import TokenRef
from tests.crypto_core.database.column_guards.test_check_expression import GOOD, evaluated
from tests.crypto_core.statements import execute

PLAINTEXT = "ghp_0123456789abcdefghijABCDEFGHIJ012345"

ODD: dict[str, dict[str, str | None]] = {
    "bytea": {
        "": "empty",
        PLAINTEXT: "plaintext",
        "\\xff00": "unrecognised",
        "\\x646a4638ff": "unrecognised",
        "\\x6768705f00": "unrecognised",
        "\\xc3a4": "unrecognised",
    },
    "json": {
        '""': "empty",
        f'"{PLAINTEXT}"': "plaintext",
        f' "{PLAINTEXT}" ': "plaintext",
        '"\\u0067hp_x"': "plaintext",
        '"ghp_\\ud800"': "unrecognised",
        '"ghp_\\u0000"': "unrecognised",
        '{"a": "djF8"}': "unrecognised",
        '["djF8"]': "unrecognised",
        "42": "unrecognised",
        "true": "unrecognised",
        " null ": None,
    },
    "jsonb": {'""': "empty", '"ZGV2fGFiYw=="': "dev", "[]": "unrecognised", "null": None},
    "char(4000)": {"": "empty", PLAINTEXT: "plaintext"},
    "varchar": {"": "empty", PLAINTEXT: "plaintext", "?": "unrecognised"},
}


@pytest.fixture
def column(
    with_tables: Callable[[str], Container], services: Container, platform: Engine
) -> Callable[[str, list[str]], Container]:
    """Make a table with a column of some type and these values in it; returns services that know it."""

    def make(type_: str, values: list[str]) -> Container:
        execute(platform, f"CREATE TABLE odd (id int PRIMARY KEY, token {type_})")
        with platform.begin() as connection:
            for number, value in enumerate(values):
                statement = text(f"INSERT INTO odd VALUES (:id, CAST(:value AS {type_}))")
                connection.execute(statement, {"id": number, "value": value})
        return with_tables(
            '[[tables]]\nname = "odd"\nid_kind = "integer"\ntoken_columns = ["token"]\nprovider = "github"\n'
        )

    return make


@pytest.mark.quick(1)
@pytest.mark.parametrize("type_", ODD)
def test_whatever_is_stored_is_one_token_and_fails_nothing(
    column: Callable[[str, list[str]], Container], platform: Engine, type_: str
) -> None:
    values = ODD[type_]
    container = column(type_, list(values))
    expected = {f"odd.token:{n}": f for n, f in enumerate(values.values()) if f is not None}
    groups = take_census(container.engine, container.catalogue, container.answers).groups
    counted = [(g.format.value, g.tokens) for g in groups if g.column == "odd.token"]
    assert sum(number for _, number in counted) == len(expected)
    found = container.store.read_many(TokenRef("odd", "token", str(n)) for n in range(len(values)))
    assert {str(t.ref): t.format.value for t in found} == expected
    # What an operator enters in place of any of them is stored in the column's own type.
    new = [Replacement(t, encrypt_token(str(t.ref)), None) for t in found]
    assert container.store.write_tokens(uuid4(), "enter", new) == {t.ref for t in found}
    now = container.store.read_many(t.ref for t in found)
    assert {t.ref: t.value.reveal() for t in now} == {r.old.ref: r.stored for r in new}
    # Who comes too late writes nothing.
    assert container.store.write_tokens(uuid4(), "enter", new) == frozenset()


def test_a_guard_refuses_what_counts_as_no_envelope(superuser: Engine) -> None:
    values = {GOOD: True, "": True, GOOD[:-4] + "!!!!": False, PLAINTEXT: False}
    others = {"null": True, "42": False, f'["{GOOD}"]': False, "{}": False, '"null"': False}
    for type_ in ("bytea", "json", "jsonb"):
        if type_ == "bytea":
            cases: dict[Any, bool] = {v.encode(): passes for v, passes in values.items()}
        else:
            cases = {json.dumps(v): passes for v, passes in values.items()} | others
        assert dict(zip(cases, evaluated(superuser, list(cases), type_, Format.V1), strict=True)) == cases


def test_a_column_of_a_type_without_tokens_takes_nothing_else_down(
    with_tables: Callable[[str], Container], services: Container, platform: Engine
) -> None:
    execute(
        platform,
        "CREATE TYPE \"odd\u202e type\" AS ENUM ('a')",
        'CREATE TABLE odd (id int PRIMARY KEY, token text, number bigint, kind "odd\u202e type", l text[])',
        "INSERT INTO odd VALUES (1, 'ghp_1', 2, 'a', '{ghp_1}')",
        "CREATE TABLE numbers (id int PRIMARY KEY, number bigint)",
    )
    container = with_tables(
        '[[tables]]\nname = "odd"\nid_kind = "integer"\ntoken_columns = ["token", "number", "kind", "l"]\n'
        '[[tables]]\nname = "numbers"\nid_kind = "integer"\ntoken_columns = ["number"]\n'
    )
    catalogue = container.catalogue.refresh()
    assert [str(c) for c in catalogue.columns if c.table in ("odd", "numbers")] == ["odd.token"]
    told = [
        f"{u.column} {u.reason.removeprefix('its type is ').partition(', and')[0]}"
        for u in catalogue.unsupported
    ]
    own = 'odd.kind public."odd type"'
    assert told == ["odd.number bigint", own, "odd.l text[]", "numbers.number bigint"]
    status = container.services.status.take_census()
    assert [gap for gap in status.coverage.reasons if "is not offered: its type is bigint" in gap]
    with pytest.raises(InvalidReferenceError, match="its type is bigint"):
        container.catalogue().table("numbers")


def test_text_columns_are_read_as_they_stand() -> None:
    for type_ in ("", "text", "varchar"):
        types = frozenset({("token", type_)})
        table = TokenTable("odd", "id", "integer", ("token",), (), "x", types=types)
        source = token_source(table, "token", whole=True)
        assert str(source.stored) == 'odd.token COLLATE "C"'
        assert str(source.source) == "odd"


def test_a_value_is_found_as_python_and_postgresql_read_it() -> None:
    assert text_of_bytes("ä".encode()) == "ä"
    assert text_of_bytes(b"djF8\xff") == "\\x646a4638ff"
    assert text_of_bytes(b"a\x00") == "\\x6100"
    for written, value in {'"a"': "a", ' "\\u0061" ': "a", '"\\ud800"': '"\\ud800"', "[1]": "[1]"}.items():
        assert find_string(written).value == value
        assert find_string(written).replaced(written, 'n"') == '"n\\""'
    assert find_string("[" * 100_000).value == "[" * 100_000
    assert find_string("1" * 10_000).value == "1" * 10_000

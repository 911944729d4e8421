"""The guard and the census never disagree: what a guard lets through counts as envelopes, or as no token."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import Engine, LargeBinary, Text, bindparam, func, select, text

from console.container import Container
from crypto_core.database.column_guards.check_expression import check_expression
from crypto_core.database.tokens.catalogue import read_catalogue
from crypto_core.database.tokens.expressions import format_of
from crypto_core.database.tokens.tables import PLATFORM_TABLES, TokenTable
from crypto_core.database.tokens.token_source import token_source
from crypto_core.envelope import ENVELOPE_FORMATS, Format
from tests.crypto_core.database.column_guards.test_check_expression import (
    BAD_DOCUMENTS,
    BROKEN,
    GOOD,
    GOOD_DOCUMENTS,
    READ,
)

PASSING = {*(f.value for f in ENVELOPE_FORMATS), Format.EMPTY.value}


def compared(engine: Engine, table: TokenTable, column: str, type_: str) -> tuple[set[str], set[str]]:
    """Rows that the check refuses, and rows in which the census counts something else than an envelope."""
    source = token_source(table, column)
    document = column in table.documents
    check = check_expression(column, type_, Format.V1, document=document)
    stored = source.stored
    counted = (
        select(func.split_part(source.id_text, "#", 1).label("row"), format_of(stored))
        .where(stored.is_not(None))
        .select_from(source.source)
    )
    with engine.connect() as connection:
        statement = f"SELECT {table.id_column}::text FROM {table.name} WHERE NOT ({check})"
        refused = connection.exec_driver_sql(statement, execution_options={"no_parameters": True})
        others = {row for row, format_ in connection.execute(counted) if format_ not in PASSING}
        return set(refused.scalars()), others


def test_of_what_is_generated_all_that_is_no_envelope_is_refused(
    environment: dict[str, str], platform: Engine
) -> None:
    types = {"connectors": "bytea", "mcp_servers": "bytea"}
    for table in read_catalogue(platform, PLATFORM_TABLES).tables:
        for column in table.token_columns:
            refused, others = compared(platform, table, column, types.get(table.name, "text"))
            assert others <= refused
            # Besides, envelopes that are broken: they still look like one to the census.
            assert len(refused - others) <= 6


DOCUMENTS = [
    *(json.dumps(one) for one in (*GOOD_DOCUMENTS, *BAD_DOCUMENTS)),
    *(json.dumps({"a": one, "b": GOOD}, ensure_ascii=False) for one in (*BROKEN, *READ) if len(one) < 50_000),
    *("", "null", " null ", "{", "{}", '{"a": "ghp_1"', '{"a": "ghp_1", "a": "djF8"}', "ghp_1", GOOD),
    '{"a\\u0000b": "ghp_1"}',
    '{"a": "\\u0064jF8AAAA"}',
    '{"a": "\\ud83d"}',
    '{"ghp_1": ""}',
]


@pytest.mark.parametrize(("type_", "sent"), [("bytea", LargeBinary), ("text", Text)])
def test_of_documents_however_odd_all_that_counts_as_no_envelope_is_refused(
    services: Container, superuser: Engine, type_: str, sent: Any
) -> None:
    with superuser.begin() as connection:
        connection.execute(text(f"CREATE TABLE odd (id int PRIMARY KEY, secret {type_})"))
        insert = text("INSERT INTO odd VALUES (:id, :value)").bindparams(bindparam("value", type_=sent))
        for number, value in enumerate(DOCUMENTS):
            stored: Any = value.encode() if sent is LargeBinary else value
            connection.execute(insert, {"id": number, "value": stored})
        if sent is LargeBinary:
            for number, value in enumerate(
                (b"\xff\xfe", b'{"a": "\xff"}', b'{"\xff": "djF8"}', b"\x00"), 1000
            ):
                connection.execute(insert, {"id": number, "value": value})
    declared = TokenTable("odd", "id", "integer", ("secret",), (), "odd", documents=frozenset({"secret"}))
    (table,) = read_catalogue(superuser, (declared,)).tables
    refused, others = compared(superuser, table, "secret", type_)
    assert others <= refused, [DOCUMENTS[int(n)][:80] for n in others - refused if int(n) < 1000]
    assert len(others) >= 28

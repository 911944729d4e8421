"""Sweep: whatever schemas, kinds of tables, columns, grants and policies are drawn, no token is overlooked.

Either its column is found or its table is named; what holds none and can be read is neither.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import pytest
from sqlalchemy import Engine

from console.container import Container
from console.sandbox.postgres import OPERATOR
from tests.crypto_core.statements import execute, scalar

TABLES = 40
NAMES = ("gh_connection", "jira_connection", "connectors", "notes", 'odd "name"', "per%cent")
TYPES = ("text", "varchar(4000)", "bytea", "json", "jsonb", "text[]", "bytea[]")
KINDS = ("table", "table", "partitioned", "child", "matview")


@dataclass(frozen=True, slots=True)
class Draw:
    """One table in a schema of its own. `seen` says whether the role sees all its rows and columns."""

    schema: str
    name: str
    column: str
    holds: bool
    seen: bool


def drawn(random: Random, superuser: Engine, number: int, envelope: str) -> Draw:
    """Make one table, whatever chance says."""
    schema, name = f"drawn_{number}", random.choice(NAMES)
    column = random.choice(("access_token", "secret_json", "body"))
    type_, kind = random.choice(TYPES), random.choice(KINDS)
    holds = random.random() < 0.7
    usage, whole, some = random.random() < 0.8, random.random() < 0.7, random.random() < 0.5
    policy = kind in ("table", "partitioned") and random.random() < 0.3
    table = schema + '."' + name.replace('"', '""') + '"'
    value = envelope if holds else "nothing to see"
    if type_ in ("json", "jsonb"):
        value = json.dumps({"a": {"b": [value]}})
    stored = f"convert_to('{value}', 'UTF8')" if type_ == "bytea" else f"'{value}'::text"
    if type_ == "bytea[]":
        stored = f"ARRAY[convert_to('{value}', 'UTF8')]"
    elif type_ == "text[]":
        stored = f"ARRAY['{value}']"
    elif type_ in ("json", "jsonb"):
        stored = f"'{value}'::{type_}"
    columns = f"id int, {column} {type_}"
    statements = [f"CREATE SCHEMA {schema}"]
    if kind == "matview":
        statements.append(f"CREATE MATERIALIZED VIEW {table} AS SELECT 1 AS id, {stored} AS {column}")
    else:
        parted = " PARTITION BY RANGE (id)" if kind == "partitioned" else ""
        statements.append(f"CREATE TABLE {table} ({columns}){parted}")
        into = table
        if kind == "partitioned":
            statements.append(f"CREATE TABLE {schema}.part PARTITION OF {table} FOR VALUES FROM (0) TO (9)")
        if kind == "child":
            into = f"{schema}.child"
            statements.append(f"CREATE TABLE {into} () INHERITS ({table})")
        statements.append(f"INSERT INTO {into} VALUES (1, {stored})")
    if policy:
        statements.append(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    if usage:
        statements.append(f"GRANT USAGE ON SCHEMA {schema} TO {OPERATOR}")
    if whole:
        statements.append(f"GRANT SELECT ON {table} TO {OPERATOR}")
    elif some:
        statements.append(f"GRANT SELECT (id) ON {table} TO {OPERATOR}")
    with superuser.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement, execution_options={"no_parameters": True})
    return Draw(schema, name, column, holds, usage and whole and not policy and kind != "child")


@pytest.mark.deep
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("full", [False, True], ids=["samples", "full"])
def test_whatever_is_drawn_no_zero_is_false(
    services: Container, superuser: Engine, envelope: Callable[[], str], seed: int, full: bool
) -> None:
    random, value = Random(seed), envelope()
    draws = [drawn(random, superuser, number, value) for number in range(TABLES)]
    sweep = services.sweeps.take_sweep(full=full)
    found = {(table.schema, column.name) for table, column in sweep.places()}
    # Of the sweep alone: what the catalogue says besides is further names.
    unread = {place.partition(".")[0] for place in sweep.unread}
    for draw in draws:
        if draw.holds:
            assert (draw.schema, draw.column) in found or draw.schema in unread, draw
        else:
            assert draw.schema not in {schema for schema, _ in found}, draw
        if draw.seen:
            assert draw.schema not in unread, draw
            assert ((draw.schema, draw.column) in found) is draw.holds, draw
    gaps = " ".join(services.catalogue.refresh().gaps)
    for draw in draws:
        if draw.name in NAMES[:2] and draw.column == "access_token":
            assert f"{draw.schema}.{draw.name}" in gaps or " more " in gaps, draw
    assert bool(sweep.reasons) is bool(found or sweep.unseen)


@pytest.mark.deep
def test_in_an_empty_schema_nothing_is_missed_either(services: Container, superuser: Engine) -> None:
    execute(superuser, "CREATE SCHEMA nothing_here", f"GRANT USAGE ON SCHEMA nothing_here TO {OPERATOR}")
    assert scalar(superuser, "SELECT count(*) FROM pg_tables WHERE schemaname = 'nothing_here'") == 0
    assert services.sweeps.take_sweep().reasons == ()

"""Reads the guards from PostgreSQL's catalogue, and counts what they would refuse."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import combinations_with_replacement
from threading import Event
from typing import Any

from sqlalchemy import Engine

from crypto_core.database.column_guards.check_expression import TYPES, check_expression, holds_envelope
from crypto_core.database.column_guards.model import ColumnGuard, GuardState, constraint_name
from crypto_core.database.connection.engine import connected, patient
from crypto_core.database.dialect import place_oid
from crypto_core.database.qualified_sql import run_as_it_is, text
from crypto_core.database.tokens.catalogue import Catalogue
from crypto_core.database.tokens.tables import TokenColumn
from crypto_core.envelope import ENVELOPE_FORMATS, Format
from crypto_core.values.clean_text import clean

PLAIN_STRINGS = text("SELECT set_config('standard_conforming_strings', 'on', true)")
"""So that definitions are read, and ours are run, with backslashes that mean themselves."""

LONGEST_SECONDS = 900
"""How long a table may take to be counted or validated: some 20 s for a million envelopes."""

_FOUND = text(
    f"""
    SELECT format('%I.%I', n.nspname, c.relname) AS place, quote_ident(a.attname) AS quoted,
           CAST(c.relkind AS text) AS kind, pg_get_userbyid(c.relowner) AS owner,
           pg_has_role(current_user, c.relowner, 'USAGE') AS owned,
           format_type(coalesce(nullif(t.typbasetype, 0), t.oid), NULL) AS type,
           con.convalidated AS validated, pg_get_constraintdef(con.oid) AS definition, asked.number,
           coalesce(pg_get_expr(def.adbin, def.adrelid), '') !~ '^(|NULL::.*|''''::.*)$' AS has_default
    FROM unnest(CAST(:schemas AS text[]), CAST(:tables AS text[]), CAST(:columns AS text[]),
                CAST(:constraints AS text[]))
         WITH ORDINALITY AS asked (schema_name, table_name, column_name, constraint_name, number)
    JOIN pg_attribute a ON a.attrelid = {place_oid("asked.schema_name", "asked.table_name")}
         AND a.attname = asked.column_name AND NOT a.attisdropped
    JOIN pg_class c ON c.oid = a.attrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_attrdef def ON def.adrelid = c.oid AND def.adnum = a.attnum
    LEFT JOIN pg_constraint con ON con.conrelid = c.oid AND con.conname = asked.constraint_name
    ORDER BY asked.number
    """  # noqa: S608  # nothing in it is foreign
)
_OBSTACLES = {
    "v": "a view takes no constraint: describe the table behind it",
    "m": "a materialised view takes no constraint: describe the table behind it",
    "f": "a foreign table's constraints are not enforced: guard the table where it is",
}
_TOKEN = re.compile(
    r"""\$re\$(?P<dollars>.*?)\$re\$|'(?P<quoted>(?:[^']|'')*)'|(?P<name>"(?:[^"]|"")*")"""
    r"""|::(?:text|character\ varying|bpchar)\b|[()\s]+|(?P<word>\w+)|(?P<sign>.)""",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class StoredState:
    refused: int
    envelopes: int


def read_guards(engine: Engine, catalogue: Catalogue) -> tuple[ColumnGuard, ...]:
    """Return the guard of every readable token column, in the catalogue's order. Raises DatabaseError."""
    columns = catalogue.columns
    tables = [catalogue.table(column.table) for column in columns]
    asked = {
        "schemas": [table.place for table in tables],
        "tables": [table.relation for table in tables],
        "columns": [column.column for column in columns],
        "constraints": [constraint_name(column.column) for column in columns],
    }
    with connected(engine) as connection:
        connection.execute(PLAIN_STRINGS)
        rows = connection.execute(_FOUND, asked).all()
    return tuple(_guard(catalogue, columns[row.number - 1], row) for row in rows)


def count_stored(
    engine: Engine, guard: ColumnGuard, least: Format, *, cancelled: Event | None = None
) -> StoredState:
    """Count what is stored by what a guard would make of it. No value leaves the database.

    Raises DatabaseError, InterruptedRunError.
    """
    check = check_expression(guard.quoted, guard.type, least, document=guard.document)
    marked = holds_envelope(guard.quoted, guard.type)
    statement = (
        f"SELECT count(*) FILTER (WHERE NOT ({check})), count(*) FILTER (WHERE {marked})"  # noqa: S608
        f" FROM {guard.place}"
    )
    with connected(engine, cancelled=cancelled) as connection, patient(connection, LONGEST_SECONDS):
        connection.execute(PLAIN_STRINGS)
        return StoredState(*run_as_it_is(connection, statement).one())


def _guard(catalogue: Catalogue, column: TokenColumn, row: Any) -> ColumnGuard:
    document = column.column in catalogue.table(column.table).documents
    obstacle = _OBSTACLES.get(row.kind, "")
    if not obstacle and row.type not in TYPES:
        obstacle = f"no check is known for type {clean(row.type, 100)}"
    state, least, newest = (GuardState.IMPOSSIBLE, None, None) if obstacle else _state(row, document=document)
    return ColumnGuard(
        column=column,
        place=row.place,
        quoted=row.quoted,
        type=row.type,
        owner=clean(row.owner, 100),
        owned=bool(row.owned),
        state=state,
        least=least,
        takes_all=newest is ENVELOPE_FORMATS[-1],
        document=document,
        has_default=bool(row.has_default),
        obstacle=obstacle,
    )


def _state(row: Any, *, document: bool) -> tuple[GuardState, Format | None, Format | None]:
    if row.definition is None:
        return GuardState.MISSING, None, None
    there = _tokens(row.definition.removesuffix(" NOT VALID"))
    for least, newest in combinations_with_replacement(ENVELOPE_FORMATS, 2):
        check = check_expression(row.quoted, row.type, least, newest=newest, document=document)
        if there == _tokens(f"CHECK ({check})"):
            state = GuardState.VALIDATED if row.validated else GuardState.NOT_VALIDATED
            return state, least, newest
    return GuardState.CHANGED, None, None


def _tokens(definition: str) -> list[str]:
    """A definition without what PostgreSQL adds as it prints one: parentheses, blanks, casts to text.

    Nothing of ours depends on parentheses: CASE fixes the order.
    """
    tokens = []
    for found in _TOKEN.finditer(definition):
        if found["dollars"] is not None:
            tokens.append(f"'{found['dollars']}")
        elif found["quoted"] is not None:
            tokens.append("'" + found["quoted"].replace("''", "'"))
        elif found["name"] or found["word"] or found["sign"]:
            tokens.append(found[0])
    return tokens

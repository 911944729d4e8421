"""A sandbox with millions of connections, filled in seconds: generated ones, each copied many times in SQL.

Copies differ in id and, where envelopes keep their ciphertext, in 120 random bits of it: so no two values are
alike, their key material is that of the generated one, KMS opens their data key, and no copy's token opens.
Where tokens are to be opened, `Sandbox.start` alone makes them.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial

import psycopg2

from console.sandbox.platform import metadata
from console.sandbox.sandbox import Sandbox
from crypto_core.database.tokens.expressions import MARK_BEGINS
from crypto_core.envelope import STORED_PREFIXES, Format

GENERATED = 20_000
"""Connections that are generated: enough for all heads that envelopes of a key material have."""
_TOGETHER = (("gh_connection",), ("jira_connection", "slack_connection", "confluence_connection"))
"""Tables that one session fills one after the other: half of all rows each."""
_TOKENS = ("access_token", "refresh_token", "bot_token")
_SETTINGS = "SET maintenance_work_mem = '512MB'; SET max_parallel_maintenance_workers = 1"
_RANDOM = 40
"""Stored characters that differ from an envelope's mark on: thirty of its ciphertext's base64."""


@contextmanager
def many_connections(connections: int) -> Iterator[Sandbox]:
    """Give a sandbox with about so many connections, its tables vacuumed and analysed.

    Below `GENERATED` they are all generated. The tables are in the folder for temporary files: about 0.8 GB
    a million.
    """
    copies = -(-connections // GENERATED)
    with Sandbox.start(connections=max(connections // copies, 20)) as sandbox:
        if copies > 1:
            with ThreadPoolExecutor(len(_TOGETHER)) as sessions:
                list(sessions.map(partial(_multiply, sandbox.platform_database_url, copies), _TOGETHER))
        yield sandbox


def _multiply(url: str, copies: int, tables: tuple[str, ...]) -> None:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(_SETTINGS)
        for name in tables:
            # All in one transaction, in which the table is emptied: PostgreSQL writes no WAL of it then.
            cursor.execute(f"BEGIN; {_copied(name, copies)}; COMMIT")
            cursor.execute(f"VACUUM (FREEZE, ANALYZE) {name}")


def _copied(name: str, copies: int) -> str:
    """SQL that puts so many copies in each row's place, ids still rising with the time."""
    table = metadata.tables[name]
    columns = list(table.columns.keys())
    number = f"(substring(id::text FROM '[0-9]+$')::bigint - 1) * {copies} + copy"
    has_text_id = table.c.id.identity is None
    values = {column: f"t.{column}" for column in columns}
    values["id"] = f"substring(id FROM '^[a-z]+-') || {number}" if has_text_id else number
    values |= {column: _another(column) for column in _TOKENS if column in values}
    sequence = (
        "" if has_text_id else f"SELECT setval(pg_get_serial_sequence('{name}', 'id'), max(id)) FROM {name};"
    )
    return f"""
        CREATE TEMP TABLE generated ON COMMIT DROP AS SELECT * FROM {name};
        TRUNCATE {name};
        ALTER TABLE {name} DROP CONSTRAINT {name}_pkey;
        INSERT INTO {name} ({", ".join(columns)}) SELECT {", ".join(values.values())}
        FROM (SELECT * FROM generated ORDER BY ctid) t, generate_series(1, {copies}) copy;
        {sequence}
        ALTER TABLE {name} ADD PRIMARY KEY (id)
    """


def _another(column: str) -> str:
    stored, mark = f"t.{column}", STORED_PREFIXES[Format.V1]
    number = f"md5('{column}' || t.id || '/' || copy)"
    characters = f"encode(left({number}, {_RANDOM * 3 // 4})::bytea, 'base64')"
    return f"""CASE
        WHEN {stored} ^@ '{mark}' AND length({stored}) > {MARK_BEGINS + _RANDOM}
            THEN overlay({stored} PLACING {characters} FROM {MARK_BEGINS + 1})
        WHEN length({stored}) > 20 AND NOT {stored} ^@ '{STORED_PREFIXES[Format.DEV]}'
            THEN left({stored}, -8) || left({number}, 8)
        ELSE {stored} END"""

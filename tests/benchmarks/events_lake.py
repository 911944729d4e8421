"""Questions to a copy of many events in Parquet, answered by DuckDB: python -m tests.benchmarks.events_lake.

The events are made by DuckDB itself, so many a day, in the columns and the layout that an export has. With
--store FILE a store is asked the same statistics as its own export: what the two take of the same events.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import duckdb

from crypto_core.lists.paging import Query
from crypto_core.trail.columns import seconds
from crypto_core.trail.parquet.event_copy import EventCopy
from crypto_core.trail.parquet.export import export_events
from crypto_core.trail.parquet.layout import NAME, TEXTS, Partition, write_mark
from crypto_core.trail.store import EventStore
from crypto_core.trail.store.statistics import GroupsQuestion, Threshold
from crypto_core.trail.store.tallies import Tallies
from tests.crypto_core.trail.records import ACCOUNT, KEY, MATERIAL, NOW

DAYS = 30
REGION = "eu-west-1"
STATISTICS: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (("principal", "hour"), "", ""),
    (("day", "hour"), "", ""),
    (("name", "error"), "failed", "principal"),
    (("principal", "name"), "", "token"),
    (("ip", "agent"), "-service", ""),
    (("session", "day"), "-failed", ""),
)
"""Fields, filter and what is counted differently, of which several a store has no hours' counts of."""
_COLUMNS = {
    "name": "['Decrypt', 'Decrypt', 'Decrypt', 'GenerateDataKey', 'Encrypt', 'DescribeKey'][1 + n % 6]",
    "principal": f"'arn:aws:iam::{ACCOUNT}:role/service-' || (n * 7919 % 400)",
    "session": "'i-' || (n * 104729 % 20000)",
    "ip": "'10.' || (n % 20) || '.' || (n // 20 % 250) || '.' || (n * 31 % 250)",
    "agent": "'Boto3/1.42.' || (n % 40)",
    "error": "CASE WHEN n % 500 = 0 THEN 'AccessDenied' ELSE '' END",
    "message": "CASE WHEN n % 500 = 0 THEN 'not authorized' ELSE '' END",
    "key": f"'{KEY}'",
    "material": f"'{MATERIAL}'",
    "token": "CASE WHEN n % 3 = 0 THEN 'gh_connection.access_token:gh-' || (n * 13 % 1000000) ELSE '' END",
    "source": "'kms.amazonaws.com'",
    "access_key": "'ASIA' || (n * 104729 % 20000)",
    "mfa": "'no'",
}
_RAW = (
    '\'{"eventVersion":"1.11","eventSource":"kms.amazonaws.com","eventName":"Decrypt","eventID":"\''
    " || n || '\",\"eventTime\":\"' || strftime(make_timestamp(epoch * 1000000), '%Y-%m-%dT%H:%M:%SZ')"
    ' || \'","requestID":"\' || md5(n::VARCHAR) || \'","awsRegion":"eu-west-1"}\''
)


def make(folder: Path, events: int) -> int:
    """Write so many events; returns the bytes of the copy."""
    texts = ", ".join(f"{_COLUMNS.get(name, repr(''))} AS {name}" for name in TEXTS)
    a_day = events // DAYS
    for day in range(DAYS):
        at = NOW - timedelta(days=day)
        first = seconds(at.replace(hour=0))
        place = folder / Partition(f"{at:%Y-%m-%d}", ACCOUNT, REGION).path
        place.mkdir(parents=True)
        duckdb.sql(
            f"COPY (SELECT n::VARCHAR AS event_id, epoch, CASE WHEN error <> '' THEN 6 ELSE 0 END AS marks, "
            f"* EXCLUDE (n, epoch), {_RAW} AS raw, make_timestamp(epoch * 1000000) AS time "
            f"FROM (SELECT n, {first} + n % 86400 AS epoch, {texts} "
            f"FROM range({day * a_day}, {(day + 1) * a_day}) AS made(n))) "
            f"TO '{place / NAME}' (FORMAT parquet, COMPRESSION zstd)"
        )
    write_mark(folder, "", datetime.now(UTC))
    return sum(path.stat().st_size for path in folder.rglob("*.parquet"))


def timed(what: str, ask: Callable[[], object]) -> None:
    """Ask once, and print how long it took."""
    began = time.perf_counter()
    found = ask()
    print(f"{time.perf_counter() - began:8.2f} s  {what}: {found}")


def count_groups(of: EventCopy | EventStore, fields: tuple[str, ...], expression: str, distinct: str) -> str:
    """Ask for groups of more than ten events; return how many there are."""
    question = GroupsQuestion(fields, distinct, (Threshold("count", ">", 10),))
    if isinstance(of, EventStore):
        counted = of.groups(question, expression)
    else:
        counted, _ = of.groups(question, expression)
    return f"{len(counted.rows) + counted.others:,} groups"


def ask_statistics(of: EventCopy | EventStore) -> None:
    """Print how long each of STATISTICS takes."""
    for fields, expression, distinct in STATISTICS:
        words = (*fields, expression or "all events", *(("distinct", distinct) if distinct else ()))
        timed(
            f"{type(of).__name__}: {' '.join(words)}", partial(count_groups, of, fields, expression, distinct)
        )


def compare(path: Path) -> None:
    """Ask a store, and its own copy, the same."""
    store = EventStore(path)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made) / "copy"
        timed("exported", lambda: f"{export_events(store, folder, at=datetime.now(UTC)).events:,} events")
        ask_statistics(store)
        ask_statistics(EventCopy(folder))
    store.close()


def main() -> None:
    """Make the events, ask, and print the times."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--events", type=int, default=20_000_000)
    options.add_argument("--folder", type=Path, default=None, help="where to make them; kept if it is named")
    options.add_argument("--store", type=Path, help="a store; see tests.benchmarks.events_store")
    given = options.parse_args()
    if given.store is not None:
        compare(given.store)
        return
    folder = given.folder or Path(tempfile.mkdtemp(prefix="keydeck-lake-"))
    try:
        if not any(folder.glob("account=*")):
            began = time.perf_counter()
            size = make(folder, given.events)
            print(
                f"{time.perf_counter() - began:8.2f} s  made {given.events:,} events, {size / 2**20:,.0f} MiB"
            )

        def new() -> EventCopy:
            return EventCopy(folder, clock=lambda: NOW)

        def newest(expression: str) -> int:
            return sum(map(len, new().pages(Query(expression, "time", descending=True), limit=200)))

        def groups(*fields: str, limit: int, valued: bool = False) -> Tallies:
            return new().groups(GroupsQuestion(fields, limit=limit, valued=valued))[0]

        timed("all events", lambda: new().summary("").events)
        timed("pivot principal", lambda: len(groups("principal", limit=100).rows))
        timed("principal and name", lambda: len(groups("principal", "name", limit=1_000).rows))
        timed("a day's denied", lambda: new().summary("denied since:1d").events)
        timed("principal by wildcard", lambda: new().summary("principal:*service-3* error:*").events)
        timed("networks, or at night", lambda: new().summary("ip:10.3.0.0/16 OR hour:22..04").events)
        timed("one token", lambda: new().summary("token:gh-12345").events)
        timed("tokens, most used", lambda: groups("token", limit=10, valued=True).others)
        timed("the newest 200", lambda: newest(""))
        timed("the newest 200 denied", lambda: newest("denied"))
        ask_statistics(new())
        print(f"most memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MiB")
    finally:
        if given.folder is None:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()

"""Questions to a copy of many events in Parquet, answered by DuckDB: python -m tests.benchmarks.events_lake.

The events are made by DuckDB itself, so many a day, in the columns and the layout that an export has.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb

from crypto_core.lists.paging import Query
from crypto_core.trail.columns import seconds
from crypto_core.trail.parquet.event_copy import EventCopy
from crypto_core.trail.parquet.export import NAME, TEXTS, Partition, write_mark
from crypto_core.trail.store.statistics import GroupsQuestion
from crypto_core.trail.store.tallies import Tallies
from tests.benchmarks import measuring
from tests.crypto_core.trail.records import ACCOUNT, KEY, MATERIAL, NOW

DAYS = 30
REGION = "eu-west-1"
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
    seconds, found = measuring.timed(ask)
    print(f"{seconds:8.2f} s  {what}: {found}")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--events", type=int, default=20_000_000)
    options.add_argument("--folder", type=Path, default=None, help="where to make them; kept if it is named")
    given = options.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp(prefix="keydeck-lake-"))
    try:
        if not any(folder.glob("account=*")):
            timed("bytes made", lambda: make(folder, given.events))

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
        print(f"most memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MiB")
    finally:
        if given.folder is None:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()

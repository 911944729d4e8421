"""A store of many events, made in a minute: a tenth of them is added, the rest are copies of it in time.

A copy is what an import would have written of the same events some days before: the same rows in the tables,
in the order in which they come, counts by the hour and the day added up. Only the records keep their times.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, closing
from datetime import datetime, timedelta
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from crypto_core.trail.event_columns import Prepared, prepare
from crypto_core.trail.event_fields import DETAILS
from crypto_core.trail.record_reader import read_record
from crypto_core.trail.store import EventStore
from crypto_core.trail.store.schema import COUNTED
from tests.benchmarks.trail_records import DAYS, recent, records

COPIES = 10
_PIECES, _AT_ONCE = 8, 2_000
"""Pieces of a day that a process makes, and events that are added together."""
_ADDED = (
    "ON CONFLICT DO UPDATE SET events = events + excluded.events, "
    "begins = min(begins, excluded.begins), ends = max(ends, excluded.ends)"
)
_EVENTS = "WHERE event <= :first ORDER BY event"
_COPY = (
    ("event", f"id + :number, at - :seconds, profile, {', '.join(DETAILS)}", "event WHERE id <= :first", ""),
    ("identity", "day - :days, event_id, at - :seconds, event + :number", f"identity {_EVENTS}", ""),
    ("call", "day - :days, request, event + :number, at - :seconds, operation", f"call {_EVENTS}", ""),
    ("raw", "id + :number, body", "raw WHERE id <= :first", ""),
    ("rollup", f"hour - 24 * :days, profile, {', '.join(COUNTED)}", "temp.hours WHERE true", _ADDED),
    ("daily", f"day - :days, profile, {', '.join(COUNTED)}", "temp.days WHERE true", _ADDED),
    ("presence", "text, hour - 24 * :days", "temp.present WHERE true", "ON CONFLICT DO NOTHING"),
)
"""For each table: its columns, the rows they are read from, and what to do with rows that are there."""


def fill(path: Path, count: int, *, copies: int = COPIES, processes: int | None = None) -> None:
    """Put so many events of the last 30 days into a new store; of `copies` like parts, the first is added.

    They are made by processes, on all cores unless told otherwise; by 0, by this one.
    """
    days = DAYS // copies
    store = EventStore(path)
    with ExitStack() as stack:
        mapped: Any = map
        if processes != 0:
            spawned = get_context("spawn")
            pool = ProcessPoolExecutor(processes or os.cpu_count(), mp_context=spawned)
            mapped = stack.enter_context(pool).map
        for some in mapped(_prepared, _pieces(count // copies, days)):
            for prepared in some:
                store.add_prepared([prepared])
    store.close()
    with closing(sqlite3.connect(path)) as file:
        file.execute("PRAGMA synchronous = OFF")
        file.execute("PRAGMA cache_size = -200000")
        (first,) = file.execute("SELECT max(id) FROM event").fetchone()
        for kept, table in (("hours", "rollup"), ("days", "daily"), ("present", "presence")):
            file.execute(f"CREATE TEMPORARY TABLE {kept} AS SELECT * FROM {table}")
        for copy in range(1, copies):
            far = {"first": first, "number": copy * first}
            far |= {"days": copy * days, "seconds": copy * days * 86_400}
            for table, columns, rows, end in _COPY:
                file.execute(f"INSERT INTO {table} SELECT {columns} FROM {rows} {end}", far)
            file.commit()
        file.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _pieces(count: int, days: int) -> Iterator[tuple[int, datetime, int, float]]:
    """How many events there are in each piece of time, up to when, which it is, and the days of each."""
    pieces = days * _PIECES
    now = recent()
    for number in range(pieces):
        behind = timedelta(days=(pieces - 1 - number) / _PIECES)
        yield count * (number + 1) // pieces - count * number // pieces, now - behind, number, 1 / _PIECES


def _prepared(piece: tuple[int, datetime, int, float]) -> list[Prepared]:
    count, now, seed, days = piece
    drawn = records(count, now=now, seed=seed, days=days, intruder=recent() - timedelta(days=2))
    found = iter([event for event in map(read_record, drawn) if event is not None])
    return [prepare(some) for some in iter(lambda: list(islice(found, _AT_ONCE)), [])]

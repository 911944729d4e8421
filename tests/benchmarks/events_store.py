"""How fast a store of 1,000,000 events answers: pages, counts, histogram, pivots, the rules; and its size.

    python -m tests.benchmarks.events_store [--events N] [--store FILE] [--json] [--rounds N]

Fills a store with records of 30 days, unless FILE is one already, and asks it in a fresh process, so that the
peak of memory is that of asking. Times are what passes, the median of some rounds; of the pivots and of the
pages the slowest counts. The rules examine the last day and all 30. Exit status 1 if a target is missed.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from statistics import median

from crypto_core.lists.paging import Query
from crypto_core.trail.event_fields import PIVOTS
from crypto_core.trail.record_reader import read_record
from crypto_core.trail.rules.configured import Configured
from crypto_core.trail.rules.service import TrailRules
from crypto_core.trail.store import EventStore
from tests.benchmarks.measuring import (
    Target,
    environment,
    exit_status,
    options,
    peak_megabytes,
    print_json,
    print_table,
    print_targets,
)
from tests.benchmarks.trail_records import DAYS, PLATFORM_KEYS, REGIONS, key_arn, recent, records

FILTERS = (
    "-service since:24h",
    "-service",
    "",
    "principal:*intruder* error:*",
    "human",
    "198.51.100",
    "token:*gh-4242",
    "session:api-7-3",
    "message:*identity-based*",
    "hour:22..06 (human OR principal:*intruder*)",
    "agent:/kali/ -error:*",
    "endpoint:vpce-*",
)
"""What the screen opens with, and what an operator asks next: much, little and nothing."""
PIVOT_MS, PAGE_MS, LIST_MS, MEGABYTES = 300.0, 20.0, 1_000.0, 150.0
DAY_S, MONTH_S, BYTES = 5.0, 30.0, 200.0
PAGES = 5


def fill(path: Path, count: int) -> float:
    """Put so many events into a new store; returns the seconds that it took."""
    store = EventStore(path)
    began = time.perf_counter()
    batch = []
    for record in records(count, now=recent()):
        found = read_record(record)
        if found is not None:
            batch.append(found)
        if len(batch) == 10_000:
            store.add(batch)
            batch = []
    store.add(batch)
    store.close()
    return time.perf_counter() - began


def _milliseconds(call: Callable[[], object], rounds: int) -> float:
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        call()
        taken.append((time.perf_counter() - began) * 1000)
    return median(taken)


def _about(store: EventStore, expression: str, rounds: int) -> dict[str, float]:
    """Milliseconds by question, and how many events there are."""
    query = Query(expression, "time", descending=True)
    first = page = store.page(query)
    slowest = 0.0
    for _ in range(PAGES):
        if not page.below:
            break
        slowest = max(slowest, _milliseconds(partial(store.page, query, page.last), rounds))
        page = store.page(query, page.last)
    return {
        "events": float(store.count(query)) if first.rows else 0.0,
        "first page": _milliseconds(partial(store.page, query), rounds),
        "next page": slowest,
        "counts": _milliseconds(partial(store.summary, expression), rounds),
        "histogram": _milliseconds(partial(store.histogram, expression, bars=100), rounds),
        "pivot": max(_milliseconds(partial(store.pivot, field, expression), rounds) for field in PIVOTS),
    }


def ask(path: Path, rounds: int) -> dict[str, dict[str, float]]:
    """Return milliseconds by filter and question; for all events also the most megabytes of this process."""
    store = EventStore(path)
    found = {expression: _about(store, expression, rounds) for expression in FILTERS}
    found[""]["megabytes"] = peak_megabytes()
    for days in (1, DAYS):
        found[""][f"{days} days"] = _milliseconds(partial(_examine, store, days), 1)
    return found


def _examine(store: EventStore, days: int) -> None:
    keys = tuple(key_arn(number, region) for number in range(PLATFORM_KEYS) for region in REGIONS)
    newest = store.summary("").last or recent()
    TrailRules(store, Configured(trusted=keys)).examine_events(newest - timedelta(days=days), newest)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = options(__doc__.splitlines()[0], rounds=5)
    parser.add_argument("--events", type=int, default=1_000_000, help="events (%(default)s)")
    parser.add_argument("--store", type=Path, help="a store filled before, or where to keep the new one")
    parser.add_argument("--ask", type=Path, help="only ask a store, and print JSON")
    given = parser.parse_args(arguments)
    if given.ask:
        print(json.dumps(ask(given.ask, given.rounds)))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        path = given.store or Path(folder) / "events.sqlite"
        filled = 0.0 if path.exists() else fill(path, given.events)
        size = path.stat().st_size / 1e6
        command = [sys.executable, "-m", "tests.benchmarks.events_store", "--ask", str(path)]
        answer = subprocess.run(
            [*command, "--rounds", str(given.rounds)], check=True, capture_output=True, text=True
        )
    found: dict[str, dict[str, float]] = json.loads(answer.stdout)
    slowest = max(f["first page"] for f in found.values())
    targets = [
        Target("slowest pivot", max(f["pivot"] for f in found.values()), PIVOT_MS, "ms"),
        Target("slowest histogram", max(f["histogram"] for f in found.values()), PIVOT_MS, "ms"),
        Target("next page of what the screen opens with", found[FILTERS[0]]["next page"], PAGE_MS, "ms"),
        Target("next page of all events", found[""]["next page"], PAGE_MS, "ms"),
        Target("first page of the slowest filter", slowest, LIST_MS, "ms"),
        Target("memory", found[""]["megabytes"], MEGABYTES, "MB"),
        Target("the rules over a day", found[""]["1 days"] / 1000, DAY_S, "s"),
        Target("the rules over 30 days", found[""]["30 days"] / 1000, MONTH_S, "s"),
        Target("on disk", size * 1e6 / found[""]["events"], BYTES, "bytes an event"),
    ]
    if given.json:
        print_json(
            {
                "environment": environment("sqlalchemy", "orjson"),
                "filled_seconds": round(filled, 1),
                "store_megabytes": round(size, 1),
                "milliseconds": found,
                "targets": [target.as_json() for target in targets],
            }
        )
        return exit_status(targets)
    print(
        f"{found['']['events']:,.0f} events, {size:,.0f} MB", f"filled in {filled:,.0f} s" if filled else ""
    )
    heads = ("filter", "events", "first page", "next page", "counts", "histogram", "pivot")
    rows = [
        (expression or "(none)", f"{f['events']:,.0f}", *(f"{f[h]:.1f} ms" for h in heads[2:]))
        for expression, f in found.items()
    ]
    print_table(heads, rows)
    print_targets(targets)
    return exit_status(targets)


if __name__ == "__main__":
    sys.exit(main())

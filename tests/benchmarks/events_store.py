"""How fast a store of 5,000,000 events answers: pages, counts, histogram, pivots, the rules; and its size.

    python -m tests.benchmarks.events_store [--events N] [--store FILE] [--json] [--rounds N]

Fills a store with events of 30 days (see trail_store.py), unless FILE is one already, and asks it in a fresh
process, so that the peak of memory is that of asking. Times are what passes, the median of some rounds; of
pivots and of pages the slowest counts. Filters that the counts by the hour don't answer are asked once, and
have targets of their own. The rules examine the last day and all 30. Exit status 1 if a target is missed.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path

from crypto_core.lists.paging import Query
from crypto_core.trail.event_fields import PIVOTS
from crypto_core.trail.rules.service import TrailRules
from crypto_core.trail.rules.watched_keys import Configured
from crypto_core.trail.store import EventStore
from tests.benchmarks.measuring import Target, milliseconds, options, peak_megabytes, report, timed
from tests.benchmarks.trail_records import DAYS, PLATFORM_KEYS, REGIONS, key_arn, recent
from tests.benchmarks.trail_store import fill

FILTERS = (
    "-service since:24h",
    "-service",
    "",
    "principal:*intruder* error:*",
    "human",
    "198.51.100",
    "token:*gh-4242",
    "message:*identity-based*",
    "hour:22..06 (human OR principal:*intruder*)",
    "agent:/kali/ -error:*",
    "endpoint:vpce-*",
)
"""What the screen opens with, and what an operator asks next: much, little and nothing."""
PIVOT_MS, PAGE_MS, LIST_MS, MEGABYTES = 500.0, 20.0, 500.0, 150.0
DAY_S, MONTH_S, BYTES = 5.0, 30.0, 200.0
PAGES = 5
ONCE = ("principal", "ip", "token")
"""The pivots of OTHERS."""
_SESSION = f"api-{int((recent() - timedelta(hours=14)).timestamp()) // 43_200 % 60}-3"
OTHERS = (
    f"session:{_SESSION}",
    f"-session:{_SESSION}",
    f"session:{_SESSION} OR human",
    "-token:*gh-4242",
    "-reviewed",
    "token:*gh-1*",
    "access_key:*API* -service",
    "param.keySpec:nothing since:2h",
)
"""What is an event's own: few events', all but few, many events'; and what the records alone tell."""


def _about(
    store: EventStore, expression: str, rounds: int, pivots: Sequence[str] = PIVOTS
) -> dict[str, float]:
    query = Query(expression, "time", descending=True)
    first = page = store.page(query)
    slowest = 0.0
    for _ in range(PAGES):
        if not page.below:
            break
        slowest = max(slowest, milliseconds(partial(store.page, query, page.last), rounds))
        page = store.page(query, page.last)
    return {
        "events": float(store.count(query)) if first.rows else 0.0,
        "first page": milliseconds(partial(store.page, query), rounds),
        "next page": slowest,
        "counts": milliseconds(partial(store.summary, expression), rounds),
        "histogram": milliseconds(partial(store.histogram, expression, bars=100), rounds),
        "pivot": max(milliseconds(partial(store.pivot, field, expression), rounds) for field in pivots),
    }


def ask(path: Path, rounds: int) -> dict[str, dict[str, float]]:
    """Return milliseconds by filter and question; for all events also the most megabytes of this process."""
    store = EventStore(path)
    found = {expression: _about(store, expression, rounds) for expression in FILTERS}
    found |= {expression: _about(store, expression, 1, ONCE) for expression in OTHERS}
    found[""]["megabytes"] = peak_megabytes()
    for days in (1, DAYS):
        found[""][f"{days} days"] = milliseconds(partial(_examine, store, days), 1)
    return found


def _examine(store: EventStore, days: int) -> None:
    keys = tuple(key_arn(number, region) for number in range(PLATFORM_KEYS) for region in REGIONS)
    newest = store.summary("").last or recent()
    TrailRules(store, Configured(trusted=keys)).examine_events(newest - timedelta(days=days), newest)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = options(__doc__.splitlines()[0], rounds=2)
    parser.add_argument("--events", type=int, default=5_000_000, help="events (%(default)s)")
    parser.add_argument("--store", type=Path, help="a store filled before, or where to keep the new one")
    parser.add_argument("--ask", type=Path, help="only ask a store, and print JSON")
    given = parser.parse_args(arguments)
    if given.ask:
        print(json.dumps(ask(given.ask, given.rounds)))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        path = given.store or Path(folder) / "events.sqlite"
        filled = 0.0
        if not path.exists():
            filled, _ = timed(lambda: fill(path, given.events))
        size = path.stat().st_size / 1e6
        command = [sys.executable, "-m", "tests.benchmarks.events_store", "--ask", str(path)]
        answer = subprocess.run(
            [*command, "--rounds", str(given.rounds)], check=True, capture_output=True, text=True
        )
    found: dict[str, dict[str, float]] = json.loads(answer.stdout)
    slowest = {
        of: {what: max(found[f][what] for f in asked) for what in ("first page", "histogram", "pivot")}
        for of, asked in (("", FILTERS), (" of an event's own", OTHERS))
    }
    number = f"{found['']['events']:,.0f} events"
    targets = [
        *(
            Target(f"slowest {what}{of}, {number}", times[what], PIVOT_MS, "ms")
            for of, times in slowest.items()
            for what in ("pivot", "histogram")
        ),
        *(
            Target(f"first page of the slowest filter{of}, {number}", times["first page"], LIST_MS, "ms")
            for of, times in slowest.items()
        ),
        Target("next page of what the screen opens with", found[FILTERS[0]]["next page"], PAGE_MS, "ms"),
        Target("next page of all events", found[""]["next page"], PAGE_MS, "ms"),
        Target("memory", found[""]["megabytes"], MEGABYTES, "MB"),
        Target("the rules over a day", found[""]["1 days"] / 1000, DAY_S, "s"),
        Target("the rules over 30 days", found[""]["30 days"] / 1000, MONTH_S, "s"),
        Target("on disk", size * 1e6 / found[""]["events"], BYTES, "bytes an event"),
    ]
    heads = ("first page", "next page", "counts", "histogram", "pivot")
    return report(
        targets,
        ("filter", "events", *(f"{head}, ms" for head in heads)),
        [
            (expression or "(none)", f"{f['events']:,.0f}", *(f"{f[head]:.1f}" for head in heads))
            for expression, f in found.items()
        ],
        as_json=given.json,
        packages=("sqlalchemy", "orjson"),
        notes=[f"{size:,.0f} MB, filled in {filled:,.0f} s"],
    )


if __name__ == "__main__":
    sys.exit(main())

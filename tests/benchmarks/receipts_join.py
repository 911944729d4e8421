"""Services that write receipts, a thief who writes none, and what a store makes of both.

Services of several processes, each of which restarts now and then, make the calls and write their receipts;
a thief makes some, half of them with the platform's own role. Records come late, out of order and twice, and
so do receipts: some before the records of their calls, some after.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from crypto_core.aws.receipts.receipt import Receipt, ReceiptProcess
from crypto_core.lists.paging import Cursor, Query
from crypto_core.trail.event import TrailEvent
from crypto_core.trail.rules.rule_context import ReceiptPolicy
from crypto_core.trail.rules.service import TrailRules
from crypto_core.trail.rules.watched_keys import Configured
from crypto_core.trail.store import EventStore
from crypto_core.values.clean_text import clean
from tests.crypto_core.trail.records import KEY, NOW, read, record, role, user

RULE = "decrypt-without-receipt"
CHUNK = 10_000
SPAN, GRACE = timedelta(hours=22), timedelta(hours=1)
LATE, TWICE = 0.2, 0.05
"""Shares of records and of receipts that come a chunk later, and twice."""
SERVICES = ("api", "worker", "sync")
ROLES = ("platform", "worker", "sync")
_COUNT = re.compile(r"([0-9,]+) calls? of ")


@dataclass(frozen=True, slots=True)
class Batch:
    events: list[TrailEvent]
    receipts: list[Receipt]


@dataclass(frozen=True, slots=True)
class Scenario:
    """Calls in the order of coming, and the ids of the stolen ones. All write receipts since `since`."""

    batches: Iterator[Batch]
    stolen: set[str]
    since: datetime
    now: datetime
    calls: int


@dataclass(frozen=True, slots=True)
class Told:
    calls: int
    explained: int
    stolen: int
    stolen_told: int
    told_falsely: int
    counted_by_rule: int
    take_in_seconds: float
    judge_seconds: float
    megabytes: float


def scenario(rng: random.Random, now: datetime, *, calls: int, stolen: int) -> Scenario:
    """Return so many calls with receipts, and so many stolen ones among them without."""
    taken: set[str] = set()
    begin = now - SPAN - GRACE
    since = begin + SPAN / 20
    batches = _batches(rng, begin, calls, stolen, since, taken)
    return Scenario(batches, taken, since, now, calls)


def take_in(store: EventStore, made: Scenario) -> Told:
    began = time.perf_counter()
    for batch in made.batches:
        store.add_receipts(batch.receipts[::2], writer="platform")
        store.add(batch.events)
        store.add_receipts(batch.receipts[1::2], writer="platform")
    store.note_receipts_reached("table", "all", made.now)
    taken_in = time.perf_counter()
    rules = TrailRules(
        store, Configured(KEY), clock=lambda: made.now, receipts=ReceiptPolicy(made.since, GRACE)
    )
    found = [one for one in rules.examine_events().findings if one.rule == RULE]
    judged = time.perf_counter()
    since = f"since:{made.since.isoformat()}"
    left = _ids(store, f"name:Decrypt -failed -explained {since}")
    counted = sum(int(number.replace(",", "")) for one in found for number in _COUNT.findall(one.evidence))
    wrong = [one for one in found if "without a receipt" not in one.title]
    return Told(
        calls=store.tally((), "").events - len(made.stolen),
        explained=store.tally((), "explained").events,
        stolen=len(made.stolen),
        stolen_told=len(made.stolen & left) if counted == len(left) else 0,
        told_falsely=len(left - made.stolen) + len(wrong) + abs(counted - len(left)),
        counted_by_rule=counted,
        take_in_seconds=taken_in - began,
        judge_seconds=judged - taken_in,
        megabytes=store.file.bytes / 2**20,
    )


def _ids(store: EventStore, expression: str) -> set[str]:
    found: set[str] = set()
    after: Cursor | None = None
    while True:
        page = store.page(Query(expression), after, limit=1_000)
        found |= {row.event.event_id for row in page.rows}
        if not page.below:
            return found
        after = page.last


def _batches(
    rng: random.Random, begin: datetime, calls: int, stolen: int, since: datetime, taken: set[str]
) -> Iterator[Batch]:
    step = SPAN / (calls + stolen)
    places = set(rng.sample(range((calls + stolen) // 10, calls + stolen), stolen))
    processes = [_process(rng, service) for service in SERVICES for _ in range(4)]
    held = Batch([], [])
    for start in range(0, calls + stolen, CHUNK):
        events, receipts = held.events, held.receipts
        held = Batch([], [])
        for number in range(start, min(start + CHUNK, calls + stolen)):
            at = begin + step * number
            if number in places:
                event = _call(rng, at, user() if number % 2 else role("platform"))
                taken.add(event.event_id)
                _come(rng, event, events, held.events)
                continue
            if rng.random() < 12 / CHUNK:  # one of them restarts
                place = rng.randrange(len(processes))
                processes[place] = _process(rng, str(processes[place].service))
            process = rng.choice(processes)
            event = _call(rng, at, role(ROLES[SERVICES.index(str(process.service))]))
            _come(rng, event, events, held.events)
            _come(rng, _receipt(rng, event, process), receipts, held.receipts)
        rng.shuffle(events)
        rng.shuffle(receipts)
        yield Batch(events, receipts)
    yield held


def _come(rng: random.Random, one: Any, now: list[Any], later: list[Any]) -> None:
    (later if rng.random() < LATE else now).append(one)
    if rng.random() < TWICE:
        later.append(one)


def _process(rng: random.Random, service: str) -> ReceiptProcess:
    return ReceiptProcess(clean(f"{service}-{rng.randrange(4)}"), rng.randrange(1, 60_000), clean(service))


def _call(rng: random.Random, at: datetime, who: dict[str, Any]) -> TrailEvent:
    ids = (str(UUID(int=rng.getrandbits(128), version=4)) for _ in range(2))
    event_id, request_id = ids
    return read(record(who=who, ago=NOW - at, eventID=event_id, requestID=request_id))


def _receipt(rng: random.Random, of: TrailEvent, process: ReceiptProcess) -> Receipt:
    at = of.time + timedelta(seconds=rng.uniform(-1, 3))
    if rng.random() < 0.5:
        token = clean(f"gh_connection.access_token:gh-{rng.randrange(10_000)}")
        return Receipt(of.request_id, of.name, at, token, None, process)
    return Receipt(of.request_id, of.name, at, None, f"{rng.getrandbits(256):064x}", process)

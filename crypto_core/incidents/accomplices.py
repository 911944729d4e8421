"""Who shares an address, an access key or a role session's name with somebody, by the stored events."""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Collection, Iterator
from datetime import datetime
from threading import Event

from crypto_core.keys.policy.least_privilege import is_principal
from crypto_core.trail.rules.novelty import is_private, network
from crypto_core.trail.rules.rule_context import name_of
from crypto_core.trail.store import EventStore
from crypto_core.trail.store.tallies import EventTally, Tallies
from crypto_core.trail.use.asking import term

TRACES = {"ip": "address", "access_key": "access key", "session": "session name"}
"""What two principals may have in common, and what it is called."""
MOST_PAIRS = 1_000
"""So many pairs of a principal and a trace of each kind are looked at, those with most events."""


def accomplices(
    events: EventStore,
    of: Collection[str],
    settled: Collection[str],
    since: datetime,
    gaps: list[str],
    cancelled: Event | None = None,
) -> Iterator[tuple[str, str]]:
    """Yield the ARN of each principal that left a trace of one of these since then, and which, in words.

    An address of one's own network is no trace, nor one that the other came from before; nor is an earlier
    address of the `settled` among these principals. A principal is no accomplice where it is at home: it was
    there first, makes most of its calls from there, and no fewer than these principals do together, as a
    platform behind the address that all of an office share. What is not looked at is added to `gaps`. Raises
    TrailError, InterruptedRunError.
    """
    for field, words in TRACES.items():
        lately = f"since:{since.isoformat()}"
        own = events.tally(
            ("principal", field), f"{term('principal', *of)} {lately}", limit=MOST_PAIRS, cancelled=cancelled
        )
        _note(own, words, gaps)
        left = {row.texts for row in own.rows if _tells(field, row.texts[1])}
        traces = sorted({trace for _, trace in left})
        if not traces:
            continue
        with_it = term(field, *traces)
        usual: set[tuple[str, ...]] = set()
        if field == "ip":
            earlier = f"{with_it} until:{since.isoformat()}"
            before = events.tally(("principal", field), earlier, limit=MOST_PAIRS, cancelled=cancelled)
            usual = {row.texts for row in before.rows if row.first < since}
        left -= {pair for pair in usual if pair[0] in settled}
        shared = events.tally(
            ("principal", field), f"{with_it} {lately}", limit=MOST_PAIRS, cancelled=cancelled
        )
        _note(shared, words, gaps)
        by_trace: dict[str, list[EventTally]] = defaultdict(list)
        for row in shared.rows:
            by_trace[row.texts[1]].append(row)
        others = sorted({row.texts[0] for row in shared.rows} - {*of})
        if not others:
            continue
        in_all = events.tally(
            ("principal",),
            f"{term('principal', *others)} {lately}",
            limit=len(others),
            cancelled=cancelled,
        )
        calls = {row.texts[0]: row.events for row in in_all.rows}
        for trace, rows in sorted(by_trace.items()):
            theirs = [row for row in rows if row.texts in left]
            for row in rows:
                who = row.texts[0]
                if not theirs or who in of or row.texts in usual or not is_principal(who):
                    continue
                if not _at_home(row, theirs, calls.get(who, 0)):
                    yield who, f"shares the {words} {trace} with {name_of(theirs[0].texts[0])}"


def _note(found: Tallies, words: str, gaps: list[str]) -> None:
    if found.others:
        gaps.append(f"{found.others:,} pairs of a principal and its {words} were not looked at")


def _tells(field: str, trace: str) -> bool:
    """True for what two have in common only if they are one, or know each other."""
    return bool(trace) and (field != "ip" or is_outside(trace))


def is_outside(address: str) -> bool:
    """True for an IP address outside one's own networks and this machine."""
    try:
        return not (ipaddress.ip_address(address).is_loopback or is_private(network(address)))
    except ValueError:
        return False


def _at_home(row: EventTally, theirs: list[EventTally], calls: int) -> bool:
    first = row.first <= min(one.first for one in theirs)
    return first and row.events * 2 > calls and row.events >= sum(one.events for one in theirs)

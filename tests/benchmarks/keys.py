"""How fast 500 KMS keys are listed and examined at 5 ms a call, and whether the console can paint meanwhile.

    python -m tests.benchmarks.keys [--keys N] [--milliseconds MS] [--json] [--rounds N]

Starts a sandbox whose KMS takes so long to answer. The time is what passes, the median of some rounds. How
long a screen would have to wait is the longest that an event loop, which wants to run every 5 ms, was kept
from running while the keys were asked for in threads. Exit status 1 if a target is missed.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import median

from console.container import Container
from console.sandbox.sandbox import Sandbox
from console.settings import load
from tests.benchmarks.measuring import Target, options, report

LISTED, KEPT_WAITING = 3.0, 250.0
"""Targets: seconds for the list; milliseconds for which an event loop may be kept from running."""
TICK_SECONDS = 0.005


@dataclass(frozen=True, slots=True)
class Round:
    """One call: seconds that it took, KMS calls, and the longest wait of an event loop beside it, in ms."""

    seconds: float
    calls: int
    waited: float


async def _beside(call: Callable[[], object]) -> float:
    """Make a call in a thread; returns the longest that this loop was kept waiting, in ms."""
    asked = asyncio.get_running_loop().run_in_executor(None, call)
    longest, before = 0.0, time.perf_counter()
    while not asked.done():
        await asyncio.sleep(TICK_SECONDS)
        now = time.perf_counter()
        longest, before = max(longest, now - before - TICK_SECONDS), now
    await asked
    return longest * 1000


def measure(rounds: int) -> dict[str, list[Round]]:
    """Time both ways to ask for all keys, each round with services of its own."""
    found: dict[str, list[Round]] = {"list": [], "examine": []}
    for _ in range(rounds):
        for name, taken in found.items():
            container = Container(load().settings)
            call = container.services.keys.list if name == "list" else container.services.posture.examine_keys
            began = time.perf_counter()
            waited = asyncio.run(_beside(call))
            taken.append(Round(time.perf_counter() - began, container.kms.calls, waited))
            missing = [s for s in container.services.keys.list() if s.missing] if name == "list" else []
            if missing:
                sys.exit(f"KMS did not answer everything: {missing[0].missing}")
            container.close()
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    parser = options(__doc__.splitlines()[0], rounds=5)
    parser.add_argument("--keys", type=int, default=500, help="KMS keys (%(default)s)")
    parser.add_argument(
        "--milliseconds", type=float, default=5.0, help="what KMS takes to answer (%(default)s)"
    )
    given = parser.parse_args(arguments)
    with Sandbox.start(connections=120) as sandbox:
        os.environ.update(sandbox.environment())
        kms = sandbox.client("kms")
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda n: kms.create_key(Description=f"key {n}"), range(given.keys)))
        sandbox.control.set_latency(given.milliseconds)
        found = measure(given.rounds)
    rows = [
        (
            name,
            f"{median(r.seconds for r in taken):.2f}",
            f"{median(r.calls for r in taken):,.0f}",
            f"{median(r.waited for r in taken):.0f}",
        )
        for name, taken in found.items()
    ]
    targets = [
        Target(
            f"{given.keys} keys listed at {given.milliseconds:g} ms a call",
            median(r.seconds for r in found["list"]),
            LISTED,
            "s",
        ),
        Target("an event loop beside it waits", median(r.waited for r in found["list"]), KEPT_WAITING, "ms"),
    ]
    heads = ("", "seconds", "KMS calls", "longest wait, ms")
    return report(targets, heads, rows, as_json=given.json, packages=["boto3"])


if __name__ == "__main__":
    sys.exit(main())

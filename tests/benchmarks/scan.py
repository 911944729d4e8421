"""How fast copies are scanned on one core, by how many envelopes they have, and what memory it takes.

    python -m tests.benchmarks.scan [--json] [--rounds N] [--megabytes N]

The copies are made here: rows of other tables, as pg_dump's COPY writes them, with one row of the platform's
tokens in so many. Every envelope is parsed strictly. Time is the process's own. A dump of nothing but tokens
is measured without a target: it goes as fast as envelopes are parsed, which is less than 200 MB/s. Exit
status 1 if a target is missed.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from base64 import b64encode
from collections.abc import Iterator
from statistics import median

from crypto_core.forensics.copies.scan import ValueScanner
from crypto_core.forensics.copies.tally import Tally
from crypto_core.trail.archives.streams import BLOCK
from tests.benchmarks.measuring import Target, options, report, timed
from tests.crypto_core.forensics.copies.values import v1

LEAST = 200.0
"""MB/s on uncompressed input."""
_OTHER = b"2026-01-01 12:00:00+00\t4711\tsome other table's row: words, numbers, \\N and {}\tt\t0.25\n"


def _row() -> bytes:
    return b"gh-1\torg-12\tuser-4\tbearer\t" + v1() + b'\t2026-01-01 00:00:00+00\t["repo"]\n'


def _dump(others: int, size: int) -> bytes:
    """A dump with one row of tokens and then so many others, over and over."""
    rows = (_row() + _OTHER * others for _ in range(size // (530 + len(_OTHER) * others)))
    return b"".join(rows)


def _copies(size: int) -> Iterator[tuple[str, bytes]]:
    yield "text without any", _OTHER * (size // len(_OTHER))
    yield "random base64", b64encode(os.urandom(size * 3 // 4))
    yield "random bytes", os.urandom(size)
    yield "dump, 1 % envelopes", _dump(550, size)
    yield "dump, 10 % envelopes", _dump(50, size)
    yield "dump, 25 % envelopes", _dump(16, size)
    yield "dump of tokens alone", _dump(0, size)


def _seconds(copy: bytes) -> tuple[float, int]:
    tally = Tally()
    scanner = ValueScanner(lambda value, offset: tally.count(value, "copy", offset))

    def feed() -> None:
        for at in range(0, len(copy), BLOCK):
            scanner.feed(copy[at : at + BLOCK])
        scanner.finish()

    seconds, _ = timed(feed, time.process_time)
    return seconds, sum(group.envelopes for group in tally.groups.values())


def main() -> int:
    parser = options(__doc__, rounds=3)
    parser.add_argument("--megabytes", type=int, default=64)
    asked = parser.parse_args()
    rows, targets = [], []
    for name, copy in _copies(asked.megabytes * 1_000_000):
        timed = [_seconds(copy) for _ in range(asked.rounds)]
        speed = len(copy) / 1e6 / median(seconds for seconds, _ in timed)
        rows.append((name, f"{timed[0][1]:,}", f"{speed:,.0f}"))
        if name != "dump of tokens alone":
            # A target is a limit from above: microseconds a megabyte.
            targets.append(Target(f"{name}: {LEAST:.0f} MB/s", 1e3 / speed, 1e3 / LEAST, "ms/MB"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return report(
        targets,
        ("copy", "envelopes", "MB/s"),
        rows,
        as_json=asked.json,
        notes=[f"peak memory, the copies included: {peak:,} MiB"],
    )


if __name__ == "__main__":
    sys.exit(main())

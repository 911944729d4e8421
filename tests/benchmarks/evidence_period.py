"""How long a year of evidence takes to read, to judge by every control, and to write as a document.

    python -m tests.benchmarks.evidence_period [--json] [--rounds N]

Each of 365 days has a record with 20 token columns, 10 keys and 200 changes. A year of records is read as
`keydeck evidence status --from` and screen 8 read it, without the database.
"""

from __future__ import annotations

import json
import time
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

from crypto_core.compliance.facts import ChangeFacts, ColumnFact
from crypto_core.compliance.period.period import AuditPeriod
from crypto_core.compliance.snapshot import SnapshotPart, read_snapshot, snapshot_json
from crypto_core.values.clean_text import clean
from tests.benchmarks.measuring import Target, Timing, options, report, timed
from tests.crypto_core.compliance.period.year import TOKENS, at, change, period, record, rotation_off
from tests.crypto_core.compliance.snapshots import KEY, WELL

DAYS = 365
SECONDS = 2.0
"""How long a year may take to judge, of one core."""


def document(day: int) -> str:
    keys: Any = WELL[SnapshotPart.KEYS]
    every = tuple(replace(KEY, arn=clean(f"{KEY.arn[:-1]}{n}"), name=clean(f"alias/k{n}")) for n in range(10))
    columns = tuple(ColumnFact(clean(f"table_{n}.token"), 5, {"v2": 5}) for n in range(20))
    made = [
        change(f"call-{n % 7}", at(day - 1) + timedelta(minutes=n), source="journal", id_=f"{day}-{n}")
        for n in range(200)
    ]
    parts: Any = {
        SnapshotPart.KEYS: replace(keys, keys=every),
        SnapshotPart.TOKENS: replace(TOKENS, columns=columns),
        SnapshotPart.CHANGES: ChangeFacts(at(day - 1), at(day), tuple(made)),
    }
    parts |= rotation_off() if day % 50 < 9 else {}
    return json.dumps(snapshot_json(record(day, parts).snapshot))


def written(found: AuditPeriod) -> str:
    return json.dumps([found.as_json(), *(one.as_json() for one in found.controls)])


def main() -> int:
    given = options("a year of evidence", rounds=3).parse_args()
    documents = [document(day) for day in range(DAYS)]
    samples: dict[str, list[float]] = {"read": [], "judge": [], "write": []}
    for _ in range(given.rounds):
        seconds, snapshots = timed(
            lambda: [read_snapshot(json.loads(text)) for text in documents], time.process_time
        )
        samples["read"].append(seconds)
        records = [replace(record(day), snapshot=one) for day, one in enumerate(snapshots)]
        seconds, found = timed(partial(period, records), time.process_time)
        samples["judge"].append(seconds)
        samples["write"].append(timed(partial(written, found), time.process_time)[0])
    timings = {case: Timing(tuple(taken)) for case, taken in samples.items()}
    return report(
        [Target("a year judged", timings["judge"].median, SECONDS, "s")],
        ("case", "s of one core"),
        [(case, f"{timing.median:.2f}") for case, timing in timings.items()],
        as_json=given.json,
        notes=[f"{sum(map(len, documents)) / DAYS / 1024:,.1f} KiB a day"],
    )


if __name__ == "__main__":
    raise SystemExit(main())

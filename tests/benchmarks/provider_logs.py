"""How fast providers' audit logs are imported, beside merely unpacking and parsing them.

    python -m tests.benchmarks.provider_logs [--events N] [--rounds N] [--json]

Writes one gzip file of JSON lines for each provider into a temporary folder, the same each time. A round does
all of these once:
- bare: every file is unpacked and each line parsed by orjson, and nothing is done with it;
- import: into a store that there was not before;
- again: the same files once more, of which every event is there.
Exit status 1 if a target is missed.
"""

from __future__ import annotations

import gzip
import tempfile
import time
from functools import partial
from pathlib import Path

import orjson

from crypto_core.forensics.provider_logs.importer import LogFiles
from crypto_core.forensics.provider_logs.store import ProviderLog
from crypto_core.trail.store.database import StoreFile
from tests.benchmarks.measuring import Target, Timing, options, report, timed
from tests.crypto_core.forensics.provider_logs.samples import atlassian, github, slack

TIMES = 30.0
"""Target: an import takes so many times as long as unpacking and parsing, of one core."""


def write(folder: Path, events: int) -> None:
    for make in (github, slack, atlassian):
        with gzip.open(folder / f"{make.__name__}.jsonl.gz", "wb", compresslevel=3) as file:
            for number in range(events // 3):
                file.write(orjson.dumps(make(number)) + b"\n")


def bare(folder: Path) -> None:
    for path in folder.iterdir():
        with gzip.open(path) as file:
            for line in file:
                orjson.loads(line)


def main() -> int:
    parser = options("imports of providers' audit logs", rounds=3)
    parser.add_argument("--events", type=int, default=150_000, help="events of all files (%(default)s)")
    given = parser.parse_args()
    samples: dict[str, list[float]] = {"bare": [], "import": [], "again": []}
    size = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "logs"
        folder.mkdir()
        write(folder, given.events)
        for number in range(given.rounds):
            file = StoreFile(Path(name) / f"{number}.sqlite")
            log = ProviderLog(file)
            samples["bare"].append(timed(partial(bare, folder), time.process_time)[0])
            for case in ("import", "again"):
                again = partial(LogFiles(log).import_files, [str(folder)])
                samples[case].append(timed(again, time.process_time)[0])
            size = file.bytes
            file.close()
    timings = {case: Timing(tuple(taken)) for case, taken in samples.items()}
    number = given.events // 3 * 3
    target = Target(
        "import, beside unpacking and parsing",
        timings["import"].median / timings["bare"].median,
        TIMES,
        "times",
    )
    return report(
        [target],
        ("case", "events/s of one core"),
        [(case, f"{number / timing.median:,.0f}") for case, timing in timings.items()],
        as_json=given.json,
        packages=["orjson"],
        notes=[f"{size / number:,.0f} bytes an event in the store"],
    )


if __name__ == "__main__":
    raise SystemExit(main())

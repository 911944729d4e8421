"""How fast CloudTrail's files are imported, beside merely unpacking them, and beside TrailScraper.

    python -m tests.benchmarks.events_import [--into STORE] [--trailscraper PYTHON] [--files N] [--json]

Writes gzip files into a temporary folder, the same each time. A round does all of these once, so that a slow
moment meets all alike. The time is what passes, the median of some rounds; beside it is the processors',
that of all processes together, which tells how much the machine gave to others, and how much was done by
several cores at once:
- bare: every file is unpacked by zlib and parsed by orjson, and nothing is done with it;
- import: into a store that there was not before, opened and closed; processes on all cores read for it;
- again: the same files once more into that store;
- into STORE: other files with as many events into a store that has many already, such as
  `python -m tests.benchmarks.events_store --events 5000000 --store STORE` makes; it keeps them;
- TrailScraper: its LocalDirectoryRecordSource reads the folder, as its command `select` does. It insists on
  versions of boto3 and click that Keydeck can't use, so it lives in an environment of its own (python -m venv
  scraper; scraper/bin/pip install trailscraper==0.10.0), whose interpreter --trailscraper names. Its imports
  are not counted. It stores nothing;
- the commands: `keydeck events import` into a new store, and `trailscraper select`, which prints the records,
  each from the start of its process to the end.
Exit status 1 if a target is missed.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path

import orjson

from crypto_core.trail.sources.files.event_files import FileImport
from crypto_core.trail.store import EventStore
from tests.benchmarks.measuring import Target, Timing, options, report
from tests.benchmarks.trail_files import write

TIMES, AGAIN_SECONDS, PROCESSOR = 4.0, 0.3, 1e6 / 15_000
"""Targets: an import takes so many times as long as merely unpacking; the same files again, in seconds; an
event into a large store, in microseconds of one core."""

COMMAND, SELECT = "keydeck events import", "trailscraper select"

SCRAPE = """
import datetime, sys, time
from trailscraper.record_sources.local_directory_record_source import LocalDirectoryRecordSource
always = [datetime.datetime(year, 1, 1, tzinfo=datetime.timezone.utc) for year in (1970, 2100)]
began, used = time.perf_counter(), time.process_time()
records = sum(1 for _ in LocalDirectoryRecordSource(sys.argv[1]).load_from_dir(*always))
print(time.perf_counter() - began, time.process_time() - used, records)
"""


def bare(folder: Path) -> int:
    found = 0
    for below, _, names in os.walk(folder):
        for name in names:
            with open(f"{below}/{name}", "rb") as file:  # noqa: PTH123  # as bare as can be
                found += len(orjson.loads(zlib.decompress(file.read(), 31))["Records"])
    return found


Sample = tuple[float, float]
"""Seconds that passed, and seconds of processors."""


def scraped(python: str, folder: Path) -> tuple[Sample, int]:
    done = subprocess.run([python, "-c", SCRAPE, str(folder)], check=True, capture_output=True, text=True)
    seconds, used, records = done.stdout.split()
    return (float(seconds), float(used)), int(records)


def process(command: Sequence[str], **more: str) -> Sample:
    before, began = used_by_children(), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, **more})
    return time.perf_counter() - began, used_by_children() - before


def used_by_children() -> float:
    """Return the seconds of processors that processes took which this one started, and which have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def into(store: Path, files: int, events: int) -> list[Sample]:
    taken = []
    for number in range(3):
        with tempfile.TemporaryDirectory() as name:
            write(Path(name), files=files, events=events, seed=time.time_ns() + number)
            bare(Path(name))
            began, used = time.perf_counter(), time.process_time() + used_by_children()
            large = EventStore(store)
            report = FileImport(large).import_files([Path(name)])
            large.close()
            if report.new != events:
                sys.exit(f"into {store}: {report.new:,} of {events:,} events were new")
            taken.append((time.perf_counter() - began, time.process_time() + used_by_children() - used))
    return taken


def measure(folder: Path, events: int, rounds: int, trailscraper: str | None) -> dict[str, list[Sample]]:
    taken: dict[str, list[Sample]] = {"bare": [], "import": [], "again": []}
    with tempfile.TemporaryDirectory() as stores:
        numbers = count()
        for _ in range(rounds):
            path = Path(stores) / f"{next(numbers)}.sqlite"

            def imported(path: Path = path) -> int:
                store = EventStore(path)
                report = FileImport(store).import_files([folder])
                store.close()
                return report.records

            cases: dict[str, Callable[[], int]] = {
                "bare": lambda: bare(folder),
                "import": imported,
                "again": imported,
            }
            for name, case in cases.items():
                began, used = time.perf_counter(), time.process_time() + used_by_children()
                found = case()
                passed = time.perf_counter() - began
                taken[name].append((passed, time.process_time() + used_by_children() - used))
                if found != events:
                    sys.exit(f"{name}: {found:,} of {events:,} events were found")
            if trailscraper:
                sample, found = scraped(trailscraper, folder)
                taken.setdefault("TrailScraper", []).append(sample)
                if found != events:
                    sys.exit(f"TrailScraper: {found:,} of {events:,} events were found")
            store = str(Path(stores) / f"{next(numbers)}.sqlite")
            command = (sys.executable, "-m", "console", "events", "import", str(folder), "--json")
            taken.setdefault(COMMAND, []).append(process(command, KEYDECK_EVENTS_FILE=store))
            if trailscraper:
                always = ("--from", "1970-01-01", "--to", "2100-01-01")
                command = (str(Path(trailscraper).with_name("trailscraper")), "select", *always)
                taken.setdefault(SELECT, []).append(process((*command, "--log-dir", str(folder))))
    return taken


def main(arguments: Sequence[str] | None = None) -> int:
    parser = options(__doc__.splitlines()[0], rounds=7)
    parser.add_argument("--files", type=int, default=3_872, help="files (%(default)s)")
    parser.add_argument("--events", type=int, default=30_000, help="events in all of them (%(default)s)")
    parser.add_argument("--into", type=Path, metavar="STORE", help="a store of many events, which grows")
    parser.add_argument("--trailscraper", metavar="PYTHON", help="an interpreter that has TrailScraper")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        size = write(Path(name), files=given.files, events=given.events)
        bare(Path(name))  # into the page cache, for all alike
        taken = measure(Path(name), given.events, given.rounds, given.trailscraper)
    if given.into:
        taken["into"] = into(given.into, given.files, given.events)
    found = {name: Timing(tuple(passed for passed, _ in samples)) for name, samples in taken.items()}
    used = {name: Timing(tuple(cpu for _, cpu in samples)) for name, samples in taken.items()}
    unit = found["bare"].median
    rows = [
        (
            case,
            *(f"{seconds:.3f}" for seconds in (timing.median, timing.best, used[case].median)),
            f"{timing.median / unit:.1f}",
        )
        for case, timing in found.items()
    ]
    cores = os.cpu_count() or 1
    targets = [
        Target(
            *("an import beside bare unpacking", found["import"].median / unit, TIMES, "times"),
            floor=used["import"].median / cores / used["bare"].median,
            floor_is=f"the processors' time of all its processes, were {cores} cores busy throughout",
        ),
        Target("the same files again", found["again"].median, AGAIN_SECONDS, "s"),
    ]
    if given.into:
        each = used["into"].median / given.events * 1e6
        targets.append(Target("an event into a large store", each, PROCESSOR, "µs of one core"))
    if "TrailScraper" in found:
        limit = found["TrailScraper"].median
        targets.append(Target("an import beside TrailScraper's reading", found["import"].median, limit, "s"))
        limit = found[SELECT].median
        targets.append(Target("the command beside TrailScraper's", found[COMMAND].median, limit, "s"))
    return report(
        targets,
        ("", "seconds", "best", "processor", "times bare"),
        rows,
        as_json=given.json,
        packages=("orjson", "backports.zstd", "sqlalchemy"),
        notes=[f"{given.files:,} files, {given.events:,} events, {size / 2**20:.1f} MiB packed"],
    )


if __name__ == "__main__":
    sys.exit(main())

"""What the benchmarks share: interleaved timing, targets, and a report as a table or as JSON."""

from __future__ import annotations

import argparse
import json
import platform
import resource
import time
import timeit
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

from crypto_core.log.observation import Silent

Case = Callable[[], object]
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Timing:
    """How long one thing took, a sample a round; every sample is the mean of its round's calls."""

    samples: tuple[float, ...]

    @property
    def median(self) -> float:
        return median(self.samples)

    @property
    def best(self) -> float:
        """The smallest sample: what is left when nothing else ran."""
        return min(self.samples)


@dataclass(frozen=True, slots=True)
class Target:
    """A promise: `measured` stays under `limit`, both in `unit`.

    `floor` is what the same work takes at least, measured in the same run, and `floor_is` what was measured
    for it, such as the libraries' own part.
    """

    promise: str
    measured: float
    limit: float
    unit: str
    floor: float | None = None
    floor_is: str = ""

    @property
    def met(self) -> bool:
        return self.measured < self.limit

    def __str__(self) -> str:
        verdict = "met   " if self.met else "MISSED"
        told = (
            f"{verdict}  {self.promise}: {self.measured:.2f} {self.unit}, under {self.limit:.2f} {self.unit}"
        )
        return told if self.floor is None else f"{told}; {self.floor_is}: {self.floor:.2f} {self.unit}"

    def as_json(self) -> dict[str, Any]:
        return {
            "promise": self.promise,
            "measured": round(self.measured, 3),
            "limit": round(self.limit, 3),
            "unit": self.unit,
            "met": self.met,
            "floor": None if self.floor is None else round(self.floor, 3),
            "floor_is": self.floor_is,
        }


class DecryptCalls(Silent):
    def __init__(self) -> None:
        self.decrypts = 0

    def kms_call(self, operation: str, seconds: float, failure: str) -> None:
        self.decrypts += operation == "Decrypt"


def microseconds(cases: Mapping[str, Case], *, rounds: int, calls: int) -> dict[str, Timing]:
    """Return µs of processor time a call for each case, the loop's overhead (about 0.03 µs) included.

    Processor time is the time that passes, less what the machine gave to others. A round times every case
    once, so a slow moment meets all of them alike. The garbage collector is off while a case runs.
    """
    timers = {name: timeit.Timer(case, timer=time.process_time) for name, case in cases.items()}
    for timer in timers.values():
        timer.timeit(calls)
    samples: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, timer in timers.items():
            samples[name].append(timer.timeit(calls) / calls * 1e6)
    return {name: Timing(tuple(taken)) for name, taken in samples.items()}


def timed(call: Callable[[], Result], clock: Callable[[], float] = time.perf_counter) -> tuple[float, Result]:
    """Return the seconds that a call takes by a clock, and what came of it."""
    began = clock()
    found = call()
    return clock() - began, found


def milliseconds(call: Case, rounds: int) -> float:
    """Return the median of the time that passes in some calls."""
    return median(timed(call)[0] for _ in range(rounds)) * 1000


def loop_nanoseconds() -> float:
    """Return the processor time of a bare loop's turn, the best of some tries: how fast the machine is now.

    Limits in seconds and tokens a second belong to a machine; beside this figure it is seen when another one,
    or its neighbours, are slower.
    """
    turns = 100_000
    loop = timeit.Timer(f"for i in range({turns}): i * i % 7", timer=time.process_time)
    return min(loop.repeat(repeat=9, number=1)) / turns * 1e9


def options(description: str, *, rounds: int) -> argparse.ArgumentParser:
    """Return the options that every benchmark has: --json and --rounds."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument(
        "--rounds", type=int, default=rounds, help="rounds to take the median of (%(default)s)"
    )
    return parser


def environment(*packages: str) -> dict[str, str | None]:
    """Return the versions of Python and of `packages`, None for one that isn't installed."""
    return {"python": platform.python_version()} | {name: _version(name) for name in packages}


def peak_megabytes() -> float:
    """Return the most memory that this process has had in use."""
    try:
        # Linux counts to a new process's getrusage what the one had that started it.
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024
    except (OSError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 * 1024)


def print_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows of cells, the first column to the left and the others to the right."""
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    for first, *others in (heads, *rows):
        cells = (cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))
        print("  ".join((first.ljust(widths[0]), *cells)).rstrip())


def report(
    targets: Sequence[Target],
    heads: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    as_json: bool,
    packages: Sequence[str] = (),
    notes: Iterable[str] = (),
    **figures: Any,
) -> int:
    """Print rows and targets, as a table or as one JSON document; return the exit status.

    `notes` stand below the table, `figures` and the versions of `packages` in the document alone.
    """
    rows = list(rows)
    if as_json:
        print_json(
            {
                "environment": environment(*packages),
                **figures,
                "rows": [dict(zip(heads, row, strict=True)) for row in rows],
                "targets": [target.as_json() for target in targets],
            }
        )
        return exit_status(targets)
    if rows:
        print_table(heads, rows)
    for note in notes:
        print(note)
    if targets:
        print("\nTargets")
    for target in targets:
        print(f"  {target}")
    return exit_status(targets)


def print_json(document: Mapping[str, Any]) -> None:
    print(json.dumps(document, indent=2, ensure_ascii=False))


def exit_status(targets: Sequence[Target]) -> int:
    return 0 if all(target.met for target in targets) else 1


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None

"""Every target of every benchmark in one table: met or missed, and by how much.

    python -m tests.benchmarks [--json] [NAME …]

Runs the benchmarks one after the other, each in a process of its own, with sizes that let all of them end in
15 minutes on two cores that have nothing else to do; NAME … runs only these. A benchmark that fails, or takes
longer than it may, is told and counts as missed. Before each one a bare loop tells how fast the machine is
just then: many limits are seconds, and a virtual machine's neighbours slow it down without a trace. Of each
target stands what was measured in parts of its limit, below 1.00 where it is met; of what has to be at least
so much, the limit in parts of what was seen. Below a missed one stands, where it is known, what the same work
takes at least, measured in the same run.
Exit status 1 if a target is missed, 2 for an unknown name.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.benchmarks.measuring import environment, loop_nanoseconds, print_json, print_table

HOME = Path(__file__).parents[2]
MOST_SECONDS = 900.0
"""Target: all benchmarks together."""
MET, MISSED, UNMEASURED = "met", "MISSED", "not measured"
CLEANING_SECONDS = 20.0
BUSY_PERCENT = 10.0
"""From so much on the cores are told not to be idle before the first benchmark."""


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A module of this folder, the seconds that it may take, and its options in the summary."""

    name: str
    seconds: float
    options: tuple[str, ...] = ()


BENCHMARKS = (
    Benchmark("envelopes", 40),
    Benchmark("imports", 30),
    Benchmark("receipts", 40, ("--rounds", "3")),
    Benchmark("keys", 90, ("--rounds", "1")),
    Benchmark("bulk", 60),
    Benchmark("bulk_jobs", 200),
    Benchmark("quota", 120),
    Benchmark("postgres", 150, ("--tokens", "16000")),
    Benchmark("hosts", 200, ("--rate", "250")),
    Benchmark("events_import", 90, ("--rounds", "3")),
    Benchmark("events_store", 240, ("--rounds", "1")),
    Benchmark("console", 200, ("--connections", "300000", "--rounds", "3", "--switches", "40")),
    Benchmark("console_sql", 240, ("--large", "2000000", "--rounds", "1")),
    Benchmark("full_reading", 90, ("--rows", "500000", "--rounds", "1")),
    Benchmark("secrets_columns", 90, ("--rows", "200000", "--rounds", "1")),
    Benchmark("scan", 60, ("--rounds", "1")),
    Benchmark("provider_logs", 60, ("--rounds", "1")),
    Benchmark("whose", 90, ("--rounds", "3")),
    Benchmark("evidence_period", 60, ("--rounds", "1")),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a benchmark came to: its targets as `Target.as_json` gives them, or why there are none."""

    name: str
    seconds: float
    targets: tuple[dict[str, Any], ...]
    failure: str = ""
    unmeasured: str = ""
    """Why it can't be run here: neither met nor missed."""
    loop_ns: float = 0.0
    """Nanoseconds of a bare loop's turn right before it."""

    @property
    def met(self) -> bool:
        return not self.failure and all(target["met"] for target in self.targets)


def run(benchmark: Benchmark) -> Outcome:
    """Run one benchmark. What it writes to standard error passes through."""
    loop_ns = loop_nanoseconds()
    command = [sys.executable, "-m", f"tests.benchmarks.{benchmark.name}", "--json", *benchmark.options]
    began = time.monotonic()
    process = subprocess.Popen(command, cwd=HOME, stdout=subprocess.PIPE, start_new_session=True)
    try:
        printed, _ = process.communicate(timeout=benchmark.seconds)
        document = json.loads(printed)
        if why := document.get("not_measured", ""):
            return Outcome(benchmark.name, time.monotonic() - began, (), unmeasured=why, loop_ns=loop_ns)
        targets = tuple(document["targets"])
        failure = "" if targets else "it has no targets"
    except subprocess.TimeoutExpired:
        end(process)
        targets, failure = (), f"it took longer than {benchmark.seconds:.0f} s"
    except (ValueError, KeyError, TypeError):
        targets, failure = (), f"it ended with status {process.returncode} and without its figures"
    return Outcome(benchmark.name, time.monotonic() - began, targets, failure, loop_ns=loop_ns)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a benchmark as Ctrl-C does, so that it takes its servers along; then what is left of it."""
    os.killpg(process.pid, signal.SIGINT)
    with suppress(subprocess.TimeoutExpired):
        process.communicate(timeout=CLEANING_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def rows_of(outcome: Outcome) -> Iterator[tuple[str, ...]]:
    """Yield a benchmark's lines of the table: its name, then its targets."""
    yield (outcome.name, f"{outcome.loop_ns:.0f}", "", "ns a turn", f"{outcome.seconds:.0f} s", "")
    if outcome.failure:
        yield (f"  {outcome.failure}", "", "", "", "", MISSED)
    if outcome.unmeasured:
        yield (f"  {outcome.unmeasured}", "", "", "", "", UNMEASURED)
    for target in outcome.targets:
        measured, limit, unit = (target[name] for name in ("measured", "limit", "unit"))
        figures = (f"{measured:,.2f}", f"{limit:,.2f}", unit, f"{ratio_of(target):.2f}")
        yield (f"  {target['promise']}", *figures, MET if target["met"] else MISSED)
        if not target["met"] and target.get("floor") is not None:
            yield (f"    {target['floor_is']}", f"{target['floor']:,.2f}", "", unit, "", "")


def ratio_of(target: dict[str, Any]) -> float:
    """Return how much of what it may be a target's value is; above 1 it is missed."""
    measured, limit = target["measured"], target["limit"]
    above, below = (limit, measured) if target.get("at_least") else (measured, limit)
    return above / below if below else float(bool(above))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Run every benchmark and print every target.")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these")
    chosen = parser.parse_args(arguments)
    wanted = [one for one in BENCHMARKS if not chosen.names or one.name in chosen.names]
    if unknown := set(chosen.names) - {one.name for one in BENCHMARKS}:
        parser.error(f"no benchmark {', '.join(sorted(unknown))} is in the summary")

    busy = psutil.cpu_percent(1.0)
    began = time.monotonic()
    outcomes = []
    for benchmark in wanted:
        outcomes.append(run(benchmark))
        targets = outcomes[-1].targets
        found = outcomes[-1].failure or f"{sum(t['met'] for t in targets)} of {len(targets)} targets met"
        print(f"{benchmark.name}: {outcomes[-1].seconds:.0f} s, {found}", file=sys.stderr, flush=True)
    seconds = time.monotonic() - began
    in_time = seconds < MOST_SECONDS
    well = in_time and all(outcome.met for outcome in outcomes)
    if chosen.json:
        print_json(
            {
                "environment": environment(),
                "cores": psutil.cpu_count(),
                "busy_percent_before": busy,
                "seconds": round(seconds, 1),
                "benchmarks": [
                    {
                        "name": outcome.name,
                        "seconds": round(outcome.seconds, 1),
                        "loop_ns": round(outcome.loop_ns, 1),
                        "failure": outcome.failure,
                        "not_measured": outcome.unmeasured,
                        "targets": outcome.targets,
                    }
                    for outcome in outcomes
                ],
            }
        )
        return 0 if well else 1
    rows = [row for outcome in outcomes for row in rows_of(outcome)]
    print_table(("", "measured", "limit", "unit", "of limit", ""), rows)
    met, missed = (sum(row[-1] == verdict for row in rows) for verdict in (MET, MISSED))
    print(
        f"\n{met} met, {missed} missed on {psutil.cpu_count()} cores in {seconds:.0f} s "
        f"({'met' if in_time else 'MISSED'}: at most {MOST_SECONDS:.0f} s)"
    )
    paces = [outcome.loop_ns for outcome in outcomes]
    print(f"A bare loop took {min(paces):.0f} to {max(paces):.0f} ns a turn: so steady was the machine.")
    if busy > BUSY_PERCENT:
        print(f"The cores were not idle: {busy:.0f} % was in use before the first benchmark.")
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())

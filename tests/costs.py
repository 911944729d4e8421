"""What a run costs: seconds, processor seconds of the lane against its budget, and its dearest tests.

Processor seconds are those of the test processes and of all that they started and waited for: `keydeck` as a
process, PostgreSQL, AWS. A test's own are without PostgreSQL's, which works for all tests of a process.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Generator, Mapping
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

DEAREST = 10
DEAR = 0.1
"""Processor seconds below which a test is not named."""
TOLERANCE = 0.15
"""How far a lane may be over its budget, as a share, where it is held to it."""
HELD = "KEYDECK_TESTS_BUDGET"
"""In the environment of a run that fails where its lane is dearer than its budget: .ci/run sets it."""
BUDGET = Path(__file__).parent.parent / ".ci" / "budget.toml"


def processor_seconds() -> float:
    """Return what this process has computed so far, with the children that it has waited for."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def of_lane(name: str) -> float | None:
    """Return how many processor seconds a lane may need; None for one without a budget."""
    if not BUDGET.exists():
        return None
    found = tomllib.loads(BUDGET.read_text("utf-8")).get("lanes", {}).get(name)
    return None if found is None else float(found)


class Costs:
    """Measures the tests of a process, and in the one that leads a run adds up what the others send."""

    def __init__(self, lane: str | None, file: Path | None) -> None:
        """`lane` is None where a part of one is run: it has no budget. All costs go into `file`, as JSON."""
        self.lane, self.file = lane, file
        self.tests: dict[str, float] = {}
        self.total = 0.0
        self._began = monotonic()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(
        self, item: pytest.Item, nextitem: pytest.Item | None
    ) -> Generator[None, Any, Any]:
        before = processor_seconds()
        done = yield
        if nextitem is not None:  # behind the last test PostgreSQL ends
            self.tests[item.nodeid] = processor_seconds() - before
        return done

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, Any, Any]:
        before = processor_seconds()
        try:
            return (yield)
        finally:
            self.tests[item.nodeid] = processor_seconds() - before

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        self.add(getattr(node, "workeroutput", {}))

    def add(self, sent: Mapping[str, Any]) -> None:
        self.tests |= sent.get("costs", {})
        self.total += sent.get("processor_seconds", 0.0)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if hasattr(session.config, "workeroutput"):
            session.config.workeroutput |= {"costs": self.tests, "processor_seconds": processor_seconds()}
            return
        used = os.times()
        self.total += (
            used.user + used.system + (0 if self.total else used.children_user + used.children_system)
        )
        if self.file is not None:
            self.file.write_text(json.dumps(self.tests, indent=0, sort_keys=True), "utf-8")
        if os.environ.get(HELD) and self.excess() > TOLERANCE and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def excess(self) -> float:
        """Return by which share of its budget the lane is dearer; negative where it is cheaper."""
        budget = of_lane(self.lane) if self.lane else None
        return self.total / budget - 1 if budget else 0.0

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self.tests:
            return
        terminalreporter.section("costs")
        for line in self.lines(monotonic() - self._began):
            terminalreporter.line(line)

    def lines(self, seconds: float) -> list[str]:
        lines = [f"{len(self.tests):,} tests: {seconds:,.0f} s, {self.total:,.0f} processor seconds"]
        if self.lane and (budget := of_lane(self.lane)):
            share = f"{abs(self.excess()):.0%} {'over' if self.excess() > 0 else 'under'}"
            limit = f"a run that is held to it fails from {TOLERANCE:.0%} over on"
            lines.append(f"budget of the {self.lane} lane: {budget:,.0f} processor seconds, {share}; {limit}")
        dear = [(name, cost) for name, cost in self.tests.items() if cost >= DEAR]
        dearest = sorted(dear, key=lambda test: -test[1])[:DEAREST]
        return [*lines, *(f"{cost:8.2f}  {name}" for name, cost in dearest)]

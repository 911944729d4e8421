"""What is under way for the steps of incidents: it goes on whichever screen is in sight."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from weakref import WeakKeyDictionary

from screens.blocking_calls import Failure
from screens.facts import ScreenFacts
from screens.worker_calls import PendingCall

StepKey = tuple[int, str]
"""An incident's number and a step's id."""


@dataclass(frozen=True, slots=True)
class Waiting:
    request: str
    message: str
    remedy: str


@dataclass(slots=True)
class RunningCall:
    """A call under way: what it does, since when, how many of how many are done as far as it is counted."""

    words: str
    began: datetime
    done: int = 0
    total: int = 0
    part: str = ""
    """What of it is being done now."""
    asked: PendingCall[Any] | None = None

    def progress(self, done: int, total: int) -> None:
        """Note how far it is. Called from the call's own thread."""
        self.done, self.total = done, total

    def capturing(self, done: int, total: int, kind: str) -> None:
        """Note which evidence is being captured. Called from the call's own thread."""
        self.done, self.total, self.part = done, total, kind.replace("-", " ")


@dataclass(frozen=True, slots=True)
class CallResult:
    lines: tuple[str, ...] = ()
    complete: bool = True
    trouble: Failure | None = None


@dataclass
class Runs:
    """By step: what is under way, what came of the last call, and what waits for approval."""

    running: dict[StepKey, RunningCall] = field(default_factory=dict)
    outcomes: dict[StepKey, CallResult] = field(default_factory=dict)
    waiting: dict[StepKey, Waiting] = field(default_factory=dict)

    def begin(self, key: StepKey, run: RunningCall) -> None:
        """Note that a call was begun; what came of the one before is forgotten."""
        self.running[key] = run
        self.outcomes.pop(key, None)

    def end(self, key: StepKey, outcome: CallResult) -> None:
        self.running.pop(key, None)
        self.outcomes[key] = outcome


_RUNS: WeakKeyDictionary[ScreenFacts, tuple[int, Runs]] = WeakKeyDictionary()


def runs_of(facts: ScreenFacts) -> Runs:
    """Return what is under way in this console, in the place where it works now."""
    epoch, runs = _RUNS.get(facts, (-1, None))
    if runs is None or epoch != facts.epoch:
        runs = Runs()
        _RUNS[facts] = (facts.epoch, runs)
    return runs

"""A team's runbook, and actions, checks and captures that do what a test says."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from crypto_core.database.state.leases import StepLease
from crypto_core.guard.consent import Danger, require
from crypto_core.guard.held_step import held_step, require_held
from crypto_core.incidents.model import CheckResult, CheckState
from crypto_core.incidents.runbooks.catalogue import ActionKind, CaptureKind, CheckKind
from crypto_core.incidents.steps.step_contracts import (
    ActionPlan,
    ActionResult,
    Captured,
    IncidentAction,
    IncidentCapture,
    IncidentCheck,
    InputField,
    Progress,
    Situation,
    Toolbox,
)
from crypto_core.values.errors import KmsAccessDeniedError

KEY = "arn:aws:kms:eu-west-1:123456789012:key/11111111-2222-3333-4444-555555555555"

TEAM = """
id = "team-key"
version = 3
title = "Our key leaked"
subject = "key"
summary = "What our team does when a key leaked."

[[phase]]
kind = "detect"
title = "Declare"

[[phase.step]]
id = "scope"
title = "Say what is concerned"
purpose = "So that everybody talks of the same key."

[[phase.step]]
id = "leaked"
title = "Did the database leak too?"
purpose = "Then the tokens are known, too."
choices = ["yes", "no"]

[[phase]]
kind = "contain"
title = "Contain"

[[phase.step]]
id = "lock"
title = "Lock the key down"
purpose = "Nobody else decrypts from now on."
who = "The responder"
do = ["Tell the platform about {key} of {incident}."]
action = "lock-down-key"
check = "key-locked-down"
captures = ["policy", "grants"]
on_failure = "Ask the administrators of {key}."
budget = "10 min"

[[phase.step]]
id = "replace"
title = "Make another key"
purpose = "Tokens move there."
action = "create-key"

[[phase]]
kind = "eradicate"
title = "Eradicate"

[[phase.step]]
id = "revoke"
title = "Revoke the tokens"
purpose = "Who knows them can't use them any more."
action = "revoke-tokens"
only_if = {step = "leaked", answer = "yes"}

[[phase.step]]
id = "again"
title = "Revoke the backup's tokens, too?"
purpose = "Backups live longer."
choices = ["yes", "no"]
only_if = {step = "leaked", answer = "yes"}

[[phase.step]]
id = "backups"
title = "Revoke those in backups"
purpose = "Backups live longer."
only_if = {step = "again", answer = "yes"}

[[phase]]
kind = "close"
title = "Close"

[[phase.step]]
id = "proof"
title = "Keep the proof"
purpose = "For whoever asks later."
check = "evidence-captured"
captures = ["key", "census"]
"""

DRILL = """
id = "team-drill"
version = 1
title = "Our drill"
subject = "database"
summary = "A restored database opens."

[[phase]]
kind = "recover"
title = "Drill"

[[phase.step]]
id = "record"
title = "Record it"
purpose = "So that the next one is due."
check = "drill-recorded"
captures = ["verification"]
"""


class Moments:
    """A clock that a test moves; each look is a second later."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 26, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


@dataclass
class Doubles:
    """What the doubles do. Their effects are lines of a file, so another process sees them."""

    folder: Path
    hooks: dict[str, Callable[[Situation], Any]] = field(default_factory=dict)
    """Called at a point, such as "lock-down-key before"; may raise."""
    results: dict[ActionKind, ActionResult] = field(default_factory=dict)
    checks: dict[CheckKind, CheckResult] = field(default_factory=dict)
    contents: dict[CaptureKind, Mapping[str, Any]] = field(default_factory=dict)
    denied: set[CaptureKind] = field(default_factory=set)
    missing: set[CaptureKind] = field(default_factory=set)
    """Of which there is nothing to capture."""

    def at(self, point: str, situation: Situation) -> None:
        if (hook := self.hooks.get(point)) is not None:
            hook(situation)

    def effects(self, incident: int) -> list[str]:
        file = self.folder / str(incident)
        return file.read_text().split() if file.exists() else []

    def affect(self, incident: int, effect: str) -> None:
        if effect not in self.effects(incident):
            with (self.folder / str(incident)).open("a") as file:
                file.write(f"{effect}\n")

    def toolbox(self) -> Toolbox:
        actions: dict[ActionKind, IncidentAction] = {
            kind: DoubleAction(self, kind)
            for kind in (ActionKind.LOCK_DOWN_KEY, ActionKind.CREATE_KEY, ActionKind.REVOKE_TOKENS)
        }
        checks: dict[CheckKind, IncidentCheck] = {
            CheckKind.KEY_LOCKED_DOWN: DoubleCheck(self, CheckKind.KEY_LOCKED_DOWN)
        }
        captures: dict[CaptureKind, IncidentCapture] = {
            kind: DoubleCapture(self, kind) for kind in CaptureKind if kind is not CaptureKind.HASHED_QUERY
        }
        return Toolbox(actions, checks, captures)


@dataclass
class DoubleAction:
    """An action with one effect."""

    doubles: Doubles
    kind: ActionKind

    def fields(self, situation: Situation) -> tuple[InputField, ...]:
        return (InputField("ticket", "Ticket", required=False), InputField("token", "Token", secret=True))

    def plan_action(self, situation: Situation) -> ActionPlan:
        self.doubles.at(f"{self.kind} plan", situation)
        name = f"{situation.incident.name} {situation.step.id} {self.kind}"
        return ActionPlan(f"Do {self.kind}", name, Danger.CONFIRM)

    def run_action(
        self, situation: Situation, plan: ActionPlan, consent: Any, progress: Progress | None = None
    ) -> ActionResult:
        require(consent, plan)
        self.doubles.at(f"{self.kind} before", situation)
        require_held()
        self.doubles.affect(situation.incident.id, self.kind)
        if progress is not None:
            progress(1, 1)
        self.doubles.at(f"{self.kind} after", situation)
        values = {"new_key": KEY[:-1] + "6"} if self.kind is ActionKind.CREATE_KEY else {}
        evidence = (Captured(CaptureKind.KEY_USE, "What the action saw", {"seen": 1}),)
        default = ActionResult(True, (f"{self.kind} done",), values, evidence)
        return self.doubles.results.get(self.kind, default)


@dataclass
class DoubleCheck:
    """Passes once the effect is there."""

    doubles: Doubles
    kind: CheckKind

    def __call__(self, situation: Situation) -> CheckResult:
        self.doubles.at(f"{self.kind} look", situation)
        there = ActionKind.LOCK_DOWN_KEY.value in self.doubles.effects(situation.incident.id)
        seen = (
            CheckResult(CheckState.PASSED, ("Locked.",))
            if there
            else CheckResult(CheckState.NOT_YET, ("Open.",))
        )
        return self.doubles.checks.get(self.kind, seen)


@dataclass
class DoubleCapture:
    """One kind of evidence."""

    doubles: Doubles
    kind: CaptureKind

    def __call__(self, situation: Situation) -> tuple[Captured, ...]:
        self.doubles.at(f"{self.kind} capture", situation)
        if self.kind in self.doubles.denied:
            raise KmsAccessDeniedError(f"Not allowed: {self.kind}.", operation="Get", remedy="Ask for it.")
        if self.kind in self.doubles.missing:
            return ()
        content = self.doubles.contents.get(self.kind, {"kind": self.kind.value})
        return (Captured(self.kind, f"The {self.kind}", content),)


def killed(situation: Situation) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def frozen(situation: Situation) -> None:
    """Stop this process, until it is told to go on.

    It stops between two renewals of its lease: in the midst of one it would hold the row of its step, and who
    comes next would run into PostgreSQL's lock timeout, not into the lease.
    """
    step = held_step()
    assert isinstance(step, StepLease)
    with step._lock:
        os.kill(os.getpid(), signal.SIGSTOP)


def interrupted(situation: Situation) -> None:
    raise KeyboardInterrupt


def ended(situation: Situation) -> None:
    raise SystemExit(1)

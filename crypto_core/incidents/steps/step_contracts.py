"""What actions, checks and captures are to the engine: given an incident and a step, they act or look.

An action is planned first and shown; it runs only with a consent to exactly that plan. What it changes is
journaled by the service that changes it, as everywhere. A check only looks. A capture returns JSON that is
kept with its hash; it never holds a token, an envelope or a data key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from threading import Event
from typing import Any, Protocol

from crypto_core.guard.consent import Danger, document_digest
from crypto_core.incidents.model import CheckResult, CheckState, Incident, StepView
from crypto_core.incidents.runbooks.catalogue import ActionKind, CaptureKind, CheckKind
from crypto_core.incidents.runbooks.runbook import RunbookStep
from crypto_core.values.cancellation import stop_if
from crypto_core.values.clean_text import cleans
from crypto_core.values.errors import InterruptedRunError, KeydeckError
from crypto_core.values.json_records import JsonRecord, shape
from crypto_core.values.secret import Secret

Capturing = Callable[[int, int, str], None]
"""Told how many kinds of evidence of how many are captured, and which is captured now, "" for none."""


@dataclass(frozen=True, slots=True)
class Situation:
    """Which step of which incident. `inputs` is what the operator has entered for it, by field name.

    `steps` are all of the incident, for a check that goes by how earlier ones ended, and `now` is the time by
    the clock that dates them.
    """

    incident: Incident
    step: RunbookStep
    inputs: Mapping[str, str | Secret] = field(default_factory=dict)
    cancelled: Event | None = None
    steps: tuple[StepView, ...] = ()
    now: datetime | None = None
    capturing: Capturing | None = None

    def text(self, name: str) -> str:
        """Return an input that is no secret, "" where there is none."""
        value = self.inputs.get(name, "")
        return value if isinstance(value, str) else ""

    def secret(self, name: str) -> Secret | None:
        value = self.inputs.get(name)
        return value if isinstance(value, Secret) else None


@dataclass(frozen=True, slots=True)
@cleans(label=300)
class InputField:
    """An input of an action. `choices` are offered, each with a label. A secret is masked.

    `several` choices may be made at once, and others be entered beside them: the input is a list with commas.
    `suspects` are the choices that are marked as such. Where a field is filled in, the one that it stands
    `instead_of` is not needed.
    """

    name: str
    label: str
    default: str = ""
    choices: tuple[tuple[str, str], ...] = ()
    secret: bool = False
    required: bool = True
    several: bool = False
    suspects: tuple[str, ...] = ()
    instead_of: str = ""

    @property
    def proposed(self) -> str:
        """Its default, else the first choice of one that has to be made."""
        made = self.choices and self.required and not self.several
        return self.default or (self.choices[0][0] if made else "")

    @property
    def undecided(self) -> bool:
        """True if an action can't be planned before the operator says something to it."""
        only = len(self.choices) == 1 and not self.several
        return self.secret or (self.required and not self.default and not only)


@dataclass(frozen=True, slots=True)
@cleans(title=300, does=1_000, does_not=1_000, warnings=1_000)
class ActionPlan(JsonRecord):
    """What an action would do; nothing has been changed. Cleaned text. A subject of a consent.

    `inner` is the plan of the service that does it, which only the action itself looks into.
    """

    title: str
    digest: str
    danger: Danger
    confirmation: str = ""
    does: tuple[str, ...] = ()
    does_not: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    inner: Any = field(default=None, repr=False, compare=False)

    json_shape = shape("dry_run title danger confirmation plan=digest does does_not warnings", dry_run=True)


@dataclass(frozen=True, slots=True)
class Captured:
    """Something to keep as evidence: JSON that holds no token, envelope or data key."""

    kind: CaptureKind
    title: str
    content: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ActionResult:
    """What came of an action. `complete` is False where it goes on, or where a part failed."""

    complete: bool
    lines: tuple[str, ...] = ()
    values: Mapping[str, str] = field(default_factory=dict)
    """What is to be remembered in the incident."""
    evidence: tuple[Captured, ...] = ()


def plan_digest(*parts: object) -> str:
    """Return SHA-256, in hex, over what tells one plan from another."""
    return document_digest([str(part) for part in parts])


Progress = Callable[[int, int], None]
"""Told how many of how many are done."""


class IncidentAction(Protocol):
    """One kind of action. An action of its own inherits this, and says what it plans and does."""

    def fields(self, situation: Situation) -> tuple[InputField, ...]:
        """Return what has to be entered before it can be planned. May ask AWS and the database."""
        return ()

    def plan_action(self, situation: Situation) -> ActionPlan:
        """Return what would happen. Raises RefusedError and what its service raises."""

    def run_action(
        self, situation: Situation, plan: ActionPlan, consent: Any, progress: Progress | None = None
    ) -> ActionResult:
        """Do what the plan says; `consent` is a Consent to `plan`.

        Raises NotConfirmedError without one given as the plan demands, ReadOnlyError, and what its service
        raises. Run again after a crash, it goes on where it was, or finds that it is done.
        """


IncidentCheck = Callable[[Situation], CheckResult]
"""Returns the current state of one effect. Raises what its services raise; see `looked_at`."""

IncidentCapture = Callable[[Situation], tuple[Captured, ...]]
"""Returns one kind of evidence as it is now. Raises what its services raise."""


def looked_at(check: IncidentCheck, situation: Situation) -> CheckResult:
    """Return what a check sees. Trouble is UNKNOWN, with its reason. Raises InterruptedRunError."""
    stop_if(situation.cancelled)
    try:
        return check(situation)
    except InterruptedRunError:
        raise
    except KeydeckError as error:
        return CheckResult(CheckState.UNKNOWN, (str(error),))


@dataclass(frozen=True, slots=True)
class Toolbox:
    """All that steps can do, by the names of the catalogue. What isn't there can't be done here."""

    actions: Mapping[ActionKind, IncidentAction] = field(default_factory=dict)
    checks: Mapping[CheckKind, IncidentCheck] = field(default_factory=dict)
    captures: Mapping[CaptureKind, IncidentCapture] = field(default_factory=dict)
    not_installed: Callable[[str, str], str] = lambda name, what: ""
    """Returns the sentence for a tool of a capability that is left out, by its name; "" for others."""


def _by_subject(of_key: IncidentCheck, of_tokens: IncidentCheck) -> IncidentCheck:
    """Return the check that fits the incident's scope, of one that there is for keys and for tokens."""
    return lambda situation: (of_key if situation.incident.scope.key else of_tokens)(situation)


def joined(keys: Toolbox, tokens: Toolbox, *others: Toolbox) -> Toolbox:
    """Return all as one toolbox. Where keys and tokens have a check, the incident's scope decides."""
    every = (*others, keys, tokens)
    both = keys.checks.keys() & tokens.checks.keys()
    return Toolbox(
        actions={kind: action for one in every for kind, action in one.actions.items()},
        checks={kind: check for one in every for kind, check in one.checks.items()}
        | {kind: _by_subject(keys.checks[kind], tokens.checks[kind]) for kind in both},
        captures={kind: capture for one in every for kind, capture in one.captures.items()},
    )

"""Guides through replacing one key by another, step by step as its runbook says. It only looks.

Nothing is remembered between two looks, here or anywhere: a rotation can be taken up again by another
process, on another machine.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from threading import Event

from crypto_core.incidents.keys.rotation.look import RotationLook
from crypto_core.incidents.keys.rotation.new_key import key_permitted, new_key_ready
from crypto_core.incidents.keys.rotation.old_key import nothing_under_key, old_key_readable
from crypto_core.incidents.keys.rotation.switch import names_switched, platform_switched
from crypto_core.incidents.keys.rotation.verdict import RotationVerdict, command, note
from crypto_core.incidents.model import CheckState
from crypto_core.incidents.runbooks.catalogue import CheckKind
from crypto_core.incidents.runbooks.library import guide_runbook
from crypto_core.incidents.runbooks.placeholders import filled_parts
from crypto_core.incidents.runbooks.runbook import Runbook, RunbookStep
from crypto_core.incidents.tool_services import RotationReader
from crypto_core.keys.state import KeyState
from crypto_core.lists.coverage import Coverage
from crypto_core.values.cancellation import stop_if
from crypto_core.values.clean_text import cleans
from crypto_core.values.counts import counted
from crypto_core.values.errors import KmsError
from crypto_core.values.json_records import JsonRecord, shape

RUNBOOK, IN_USE = "key-rotation", "in-use"
"""The runbook, and its step that is done once the platform uses the new key."""
SHORTEST_SECONDS = 5.0
"""Between two looks: each takes a census and some ten calls of KMS."""
CHECKS: Mapping[CheckKind, Callable[[RotationLook], RotationVerdict]] = {
    CheckKind.NEW_KEY_READY: new_key_ready,
    CheckKind.KEY_PERMITTED: key_permitted,
    CheckKind.NAMES_SWITCHED: names_switched,
    CheckKind.PLATFORM_SWITCHED: platform_switched,
    CheckKind.NOTHING_UNDER_KEY: nothing_under_key,
    CheckKind.OLD_KEY_READABLE: old_key_readable,
}
"""The checks that a guide's steps may name."""

_log = logging.getLogger(__name__)


class GuideStepState(StrEnum):
    DONE = "done"
    NOW = "now"
    """It is this step's turn."""
    WAITING = "waiting"
    """A step before it comes first."""
    UNKNOWN = "not known"
    """The step's state could not be read; `evidence` says why. Never taken as done."""
    IMPOSSIBLE = "not possible"


_STATES: Mapping[CheckState, GuideStepState] = {
    CheckState.PASSED: GuideStepState.DONE,
    CheckState.NOT_YET: GuideStepState.NOW,
    CheckState.UNKNOWN: GuideStepState.UNKNOWN,
    CheckState.FAILED: GuideStepState.IMPOSSIBLE,
}


@dataclass(frozen=True, slots=True)
class GuideStep(JsonRecord):
    """A step of the runbook, and where it stands; an `optional` one need not be done."""

    step: RunbookStep
    number: int
    verdict: RotationVerdict
    state: GuideStepState
    optional: bool = False

    json_shape = shape(
        "step=step.id number title=step.title state optional evidence=verdict.evidence do=verdict.do "
        "warnings=verdict.warnings"
    )


@dataclass(frozen=True, slots=True)
@cleans(outside=2_000)
class Guide(JsonRecord):
    """A rotation as it stands at one moment. Nothing of it is kept: it is read anew each time."""

    taken_at: datetime
    old: KeyState
    new: KeyState | None
    """None where there is no new key yet, or none that can be looked at."""
    steps: tuple[GuideStep, ...]
    tokens: int | None
    """Tokens under the old key; None where they could not be counted."""
    coverage: Coverage
    outside: str = ""
    """What failed outside, such as the database; the steps that go by it are not known."""

    json_shape = shape(
        "taken_at old_key=old.key_arn new_key=new.key_arn complete tokens_under_old_key=tokens steps coverage"
    )

    @property
    def left(self) -> int:
        """Steps that are not done and have to be."""
        return sum(step.state is not GuideStepState.DONE and not step.optional for step in self.steps)

    @property
    def complete(self) -> bool:
        """True if no step is left and nothing is missing that a step may have gone by."""
        return not self.left and self.coverage.complete and not self.outside

    @property
    def words(self) -> str:
        if self.complete:
            return "complete"
        why = f"{counted(self.left, 'step')} left" if self.left else "not everything is covered"
        return f"not complete: {why}"

    @property
    def possible(self) -> bool:
        return not any(step.state is GuideStepState.IMPOSSIBLE for step in self.steps)

    @property
    def in_use(self) -> bool:
        return self.step(IN_USE).state is GuideStepState.DONE

    def step(self, step_id: str) -> GuideStep:
        """Return one step. Raises StopIteration for one that its runbook has not."""
        return next(step for step in self.steps if step.step.id == step_id)


def in_turn(steps: Iterable[GuideStep]) -> Iterator[GuideStep]:
    """Yield steps with the turn of each: what comes behind one that is not done has to wait.

    An optional one holds up nothing, nor does one that a later step proves and that is not known.
    """
    blocked = False
    for one in steps:
        waits = blocked and not one.verdict.urgent
        if waits and one.state in (GuideStepState.NOW, GuideStepState.UNKNOWN):
            yield replace(one, state=GuideStepState.WAITING)
        else:
            yield one
        unproved = one.step.until and one.state is GuideStepState.UNKNOWN
        if not one.optional and one.state is not GuideStepState.DONE and not unproved:
            blocked = True


class ManualRotation:
    """Tells where a rotation by hand stands. Blocks on KMS and SQL: call it from a worker."""

    def __init__(
        self, reader: RotationReader, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self.reader = reader
        self._clock = clock

    def read_guide(
        self,
        old: str,
        new: str | None = None,
        *,
        since: datetime | None = None,
        accepted: Sequence[str] = (),
        cancelled: Event | None = None,
    ) -> Guide:
        """Return the guide as things are now.

        `new` is the key that takes the place of `old`; None stands for the configured one, if that is
        another. Only what came after `since` counts as the platform's use. `accepted` are principals that may
        do less under the new key: ARNs or accounts, `*` and `?` as in IAM. Raises SettingsError for what is
        no key name; KmsError where the old key can't be described, or AWS does not answer at all;
        InterruptedRunError once `cancelled` is set. A database that does not answer is in the guide's
        `outside`.
        """
        look = RotationLook(self.reader, old, new, since=since, accepted=accepted, cancelled=cancelled)
        counted = look.counted
        return Guide(
            taken_at=self._clock(),
            old=look.old,
            new=look.new,
            steps=tuple(in_turn(_steps(guide_runbook(RUNBOOK), look))),
            tokens=counted.tokens.under if counted.status else None,
            coverage=Coverage(look.gaps),
            outside=counted.trouble,
        )


def watch(
    read: Callable[[], Guide],
    *,
    every: float,
    cancelled: Event,
    missed: Callable[[KmsError], None] = lambda error: None,
) -> Iterator[Guide]:
    """Yield the guide that is read now and every so many seconds, until the platform uses the new key.

    It ends too where a step is not possible. A look that fails in passing, but for the first one, is made
    again the next time, and `missed` is called with why. Raises as `read`, InterruptedRunError once
    `cancelled` is set, ValueError for less than `SHORTEST_SECONDS`.
    """
    if every < SHORTEST_SECONDS:
        raise ValueError(f"At least {SHORTEST_SECONDS:g} seconds lie between two looks.")
    guide = read()
    yield guide
    while guide.possible and not guide.in_use:
        cancelled.wait(every)
        stop_if(cancelled)
        try:
            guide = read()
        except KmsError as error:
            if not error.transient:
                raise
            _log.warning("Could not look how far the rotation is: %s", error.message)
            missed(error)
            continue
        yield guide


def _steps(runbook: Runbook, look: RotationLook) -> Iterator[GuideStep]:
    found = {step.id: CHECKS[step.check](look) for step in runbook.steps if step.check}
    values = {"key": look.old.key_arn, "new_key": look.new.key_arn if look.new else ""}
    for number, step in enumerate(runbook.steps, 1):
        verdict = found[step.id]
        if look.successor is not None and verdict.state is not CheckState.PASSED:
            verdict = _with_way_on(verdict, step, values)
        proved = bool(step.until) and found[step.until].state is CheckState.PASSED
        yield GuideStep(step, number, verdict, _STATES[verdict.state], step.optional or proved)


def _with_way_on(verdict: RotationVerdict, step: RunbookStep, values: Mapping[str, str]) -> RotationVerdict:
    """What the runbook says of a step that is not done: to do where there is a command, else a warning."""
    parts = [(text.strip(), typed) for text, typed in filled_parts(step.on_failure, values, values)]
    if any(typed for _, typed in parts):
        do = tuple(command(text) if typed else note(text) for text, typed in parts if text)
        return replace(verdict, do=(*verdict.do, *do))
    return replace(verdict, warnings=(*(text for text, _ in parts if text), *verdict.warnings))

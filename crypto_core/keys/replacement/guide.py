"""The state of a manual rotation: its steps, the evidence of each, and what to do next."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from crypto_core.keys.state import PENDING_DELETION, KeyState
from crypto_core.lists.coverage import Coverage
from crypto_core.text.cleaning import cleans
from crypto_core.text.json_records import JsonRecord, shape


class StepId(StrEnum):
    """The steps, in their order."""

    NEW_KEY = "new-key"
    PREFLIGHT = "preflight"
    SWITCH = "switch"
    IN_USE = "in-use"
    REST = "rest"
    OLD_KEY = "old-key"


TITLES = {
    StepId.NEW_KEY: "New key, for all users of the old one",
    StepId.PREFLIGHT: "Preflight by this identity",
    StepId.SWITCH: "Switch the alias or the environment",
    StepId.IN_USE: "Wait until the platform uses it",
    StepId.REST: "Move the tokens that are left",
    StepId.OLD_KEY: "Old key kept for reading",
}


class GuideStepState(StrEnum):
    """How far a step is."""

    DONE = "done"
    NOW = "now"
    """It is this step's turn."""
    WAITING = "waiting"
    """A step before it comes first."""
    UNKNOWN = "not known"
    """The step's state could not be read; `evidence` says why. Never taken as done."""
    IMPOSSIBLE = "not possible"


class DoKind(StrEnum):
    """What an instruction is."""

    COMMAND = "command"
    """A keydeck command, as it is typed into a shell."""
    SETTING = "setting"
    """A line of the environment."""
    NOTE = "note"
    """Words."""


@dataclass(frozen=True, slots=True)
@cleans(text=4_000, instead_of=4_000)
class Instruction(JsonRecord):
    """One thing to do. `instead_of` is the line that a setting takes the place of, "" where it is new."""

    kind: DoKind
    text: str
    instead_of: str = ""

    json_shape = shape("... instead_of?")


def command(text: str) -> Instruction:
    """Return a command to type."""
    return Instruction(DoKind.COMMAND, text)


def setting(text: str, instead_of: str = "") -> Instruction:
    """Return a line of the environment to change."""
    return Instruction(DoKind.SETTING, text, instead_of)


def note(text: str) -> Instruction:
    """Return something to do that has no command."""
    return Instruction(DoKind.NOTE, text)


def enabling(key: KeyState) -> tuple[Instruction, ...]:
    """Return the commands that enable a key which is disabled or waits for its deletion."""
    enable = command(f"keydeck keys enable {key.key_arn}")
    if key.state in PENDING_DELETION:
        return (command(f"keydeck keys cancel-deletion {key.key_arn}"), enable)
    return (enable,)


@dataclass(frozen=True, slots=True)
@cleans(evidence=1_000, warnings=1_000)
class Step(JsonRecord):
    """One step. Texts are cleaned. `do` is what to do next for it; what is done may be followed by more.

    A step that is `optional` need not be done for the rotation to be complete. One that is `urgent` does not
    wait for those before it, and one that does not `block` lets those behind it go on.
    """

    id: StepId
    state: GuideStepState
    evidence: tuple[str, ...] = ()
    do: tuple[Instruction, ...] = ()
    warnings: tuple[str, ...] = ()
    optional: bool = False
    urgent: bool = False
    blocks: bool = True

    json_shape = shape("step=id number title state optional evidence do warnings")

    @property
    def title(self) -> str:
        """The step in words."""
        return TITLES[self.id]

    @property
    def number(self) -> int:
        """Its place, counted from 1."""
        return list(StepId).index(self.id) + 1


@dataclass(frozen=True, slots=True)
@cleans(outside=2_000)
class Guide(JsonRecord):
    """A manual rotation as it stands at one moment. Nothing of it is kept: it is read anew each time."""

    taken_at: datetime
    old: KeyState
    new: KeyState | None
    """None where there is no new key yet, or none that can be looked at."""
    steps: tuple[Step, ...]
    tokens: int | None
    """Tokens under the old key; None where they could not be counted."""
    coverage: Coverage
    outside: str = ""
    """What failed outside, such as the database; the steps that go by it are not known."""

    json_shape = shape(
        "taken_at old_key=old.key_arn new_key=new.key_arn complete tokens_under_old_key=tokens steps coverage"
    )

    @property
    def complete(self) -> bool:
        """True if every step is done that has to be."""
        return all(step.state is GuideStepState.DONE or step.optional for step in self.steps)

    @property
    def possible(self) -> bool:
        """False if a step can't be done as requested."""
        return not any(step.state is GuideStepState.IMPOSSIBLE for step in self.steps)

    @property
    def in_use(self) -> bool:
        """True once the platform uses the new key."""
        return self.step(StepId.IN_USE).state is GuideStepState.DONE

    def step(self, step_id: StepId) -> Step:
        """Return one step."""
        return next(step for step in self.steps if step.id is step_id)


def in_turn(steps: Iterable[Step]) -> Iterator[Step]:
    """Yield steps with the turn of each: what comes behind one that is not done and blocks has to wait."""
    blocked = False
    for step in steps:
        waits = blocked and not step.urgent and step.state in (GuideStepState.NOW, GuideStepState.UNKNOWN)
        yield replace(step, state=GuideStepState.WAITING) if waits else step
        if step.blocks and not step.optional and step.state is not GuideStepState.DONE:
            blocked = True

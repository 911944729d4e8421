"""What a check of a key's replacement proves, and what to do next."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from crypto_core.incidents.model import CheckResult, CheckState
from crypto_core.keys.state import PENDING_DELETION, KeyState
from crypto_core.values.clean_text import cleans
from crypto_core.values.json_records import JsonRecord, shape


class DoKind(StrEnum):
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
    return Instruction(DoKind.COMMAND, text)


def setting(text: str, instead_of: str = "") -> Instruction:
    return Instruction(DoKind.SETTING, text, instead_of)


def note(text: str) -> Instruction:
    return Instruction(DoKind.NOTE, text)


def enabling(key: KeyState) -> tuple[Instruction, ...]:
    """Return the commands that enable a key which is disabled or waits for its deletion."""
    enable = command(f"keydeck keys enable {key.key_arn}")
    if key.state in PENDING_DELETION:
        return (command(f"keydeck keys cancel-deletion {key.key_arn}"), enable)
    return (enable,)


@dataclass(frozen=True, slots=True)
@cleans(evidence=1_000, warnings=1_000)
class RotationVerdict:
    """How far one thing is. `do` is what to do next for it; what has passed may be followed by more.

    An `urgent` one does not wait for what comes before it.
    """

    state: CheckState
    evidence: tuple[str, ...] = ()
    do: tuple[Instruction, ...] = ()
    warnings: tuple[str, ...] = ()
    urgent: bool = False

    def as_check(self) -> CheckResult:
        return CheckResult(
            self.state, (*self.evidence, *self.warnings, *(instruction.text for instruction in self.do))
        )

"""A runbook: what to do, in which order, and what proves that it was done. Data, never code."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import repeat
from typing import Final

from crypto_core.incidents.runbooks import catalogue
from crypto_core.values.clean_text import NO_TEXT, CleanText, clean
from crypto_core.values.json_records import JsonRecord, shape

BUILT_IN: Final = clean("built in")

OptionValue = str | int | bool


@dataclass(frozen=True, slots=True)
class StepCondition:
    """A step that is needed only after a certain answer to an earlier one."""

    step: str
    answer: str


@dataclass(frozen=True, slots=True)
class RunbookStep:
    """One step. Texts are cleaned; `id` is unique in its runbook and never changes."""

    id: str
    title: CleanText
    purpose: CleanText
    """Why it is done, in two or three sentences."""
    who: CleanText = NO_TEXT
    """Whose step it is, such as the responder or the platform's team."""
    do: tuple[CleanText, ...] = ()
    """What to do by hand, a line each; `{key}`, `{new_key}`, `{incident}` are filled in."""
    providers: tuple[tuple[CleanText, ...], ...] = ()
    """Of each line of `do`, which providers' tokens it is about; () where it is about all."""
    action: catalogue.ActionKind | None = None
    action_options: Mapping[str, OptionValue] = field(default_factory=dict)
    check: catalogue.CheckKind | None = None
    check_options: Mapping[str, OptionValue] = field(default_factory=dict)
    captures: tuple[catalogue.CaptureKind, ...] = ()
    choices: tuple[CleanText, ...] = ()
    """The answers of a step that decides something; it is done once one is given."""
    undecided: CleanText = NO_TEXT
    """The safe one of them, proposed to whoever does not know; "" where none is."""
    only_if: StepCondition | None = None
    on_failure: CleanText = NO_TEXT
    """What to do if the action fails or the check does not pass."""
    budget_seconds: int = 0
    """How long it should take; 0 for no budget."""
    optional: bool = False
    """Of a guide: nothing waits for it."""
    until: str = ""
    """Of a guide: the step whose proof makes this one needless; till then only a refusal holds up others."""

    def lines_for(self, providers: Collection[str]) -> tuple[CleanText, ...]:
        """Return what to do about tokens of these providers; every line where none is known."""
        return tuple(
            line for line, only in self._told() if not only or not providers or {*only} & {*providers}
        )

    def left_out(self, providers: Collection[str]) -> tuple[CleanText, ...]:
        """Return the providers about which `lines_for` leaves lines out."""
        named = dict.fromkeys(name for _, only in self._told() for name in only)
        return tuple(name for name in named if providers and name not in providers)

    def _told(self) -> Iterator[tuple[CleanText, tuple[CleanText, ...]]]:
        nobody: tuple[CleanText, ...] = ()
        return zip(self.do, self.providers or repeat(nobody), strict=False)


@dataclass(frozen=True, slots=True)
class Phase:
    kind: catalogue.PhaseKind
    title: CleanText
    steps: tuple[RunbookStep, ...]


@dataclass(frozen=True, slots=True)
class Runbook(JsonRecord):
    """A runbook as it was read. `digest` is SHA-256, in hex, over the text that it was read from."""

    id: CleanText
    version: int
    title: CleanText
    subject: catalogue.SubjectKind
    summary: CleanText
    phases: tuple[Phase, ...]
    digest: str
    source: CleanText = BUILT_IN
    """"built in", or the file's path."""
    text: str = field(default="", repr=False)
    """The text itself: an incident keeps it, so that it goes on by the runbook that it began with."""
    guide: bool = False
    """True if it only guides: nothing is declared by it, and nothing kept."""

    json_shape = shape("id version title sha256=digest")

    @property
    def steps(self) -> tuple[RunbookStep, ...]:
        return tuple(step for phase in self.phases for step in phase.steps)

    def phase_of(self, step_id: str) -> Phase:
        """Return the phase of a step. Raises KeyError."""
        for phase in self.phases:
            if any(step.id == step_id for step in phase.steps):
                return phase
        raise KeyError(step_id)

    def conditions_of(self, step_id: str) -> tuple[StepCondition, ...]:
        """Return all that has to be decided for a step to be needed, the earliest decision first."""
        steps = {step.id: step for step in self.steps}
        found: list[StepCondition] = []
        condition = steps[step_id].only_if
        while condition is not None:
            found.insert(0, condition)
            condition = steps[condition.step].only_if
        return tuple(found)

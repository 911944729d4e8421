"""A manual rotation, step by step: the evidence, and exactly what to do next."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import ClassVar

from textual.content import Content

from crypto_core.incidents.keys.rotation.guide import Guide, GuideStep, GuideStepState
from crypto_core.incidents.keys.rotation.verdict import DoKind, Instruction
from crypto_core.values.cancellation import Cancellation
from crypto_core.values.counts import counted
from screens.actions.action import Action
from screens.answer_screen import AnswerScreen
from screens.facts import ScreenFacts
from screens.keys.words import STEPS
from screens.use.lines import prose
from screens.widgets.clipboard import cell_as_text, send_to_clipboard
from screens.widgets.line_list import Line


class GuideScreen(AnswerScreen[Guide]):
    """The guide, looked at anew by itself: nothing is remembered but which two keys it is about."""

    NAME = "rotation"
    EVERY = 10.0
    ASKING = "Looking at both keys and the tokens…"
    ACTS: ClassVar[tuple[str, ...]] = ("rotation",)

    def __init__(self, facts: ScreenFacts, old: str, new: str | None) -> None:
        super().__init__(facts)
        self._old = old
        self._new = new

    @property
    def crumb(self) -> tuple[str, str]:
        words = self.facts.key_words
        to = words.short(self._new) if self._new else "a new key"
        return "Rotation", f"{words.short(self._old)} → {to}"

    def ask_for(self, cancelled: Cancellation) -> Guide:
        return self.facts.services.replacement.read_guide(self._old, self._new, cancelled=cancelled)

    def lines(self, answer: Guide, width: int) -> Iterable[Line]:
        return guide_lines(answer, width)

    def possible(self, action: Action) -> bool | None:
        if action.scope == "rotation":
            return True if self.target_in_hand is not None else None
        return super().possible(action)

    def do_copy_line(self) -> None:
        target = self.target_in_hand
        if isinstance(target, Instruction):
            send_to_clipboard(self, cell_as_text(target.text), target.text)


def guide_lines(guide: Guide, width: int) -> list[Line]:
    done = sum(step.state is GuideStepState.DONE for step in guide.steps)
    words = "complete" if guide.complete else f"{done} of {len(guide.steps)} steps done"
    under = "not counted" if guide.tokens is None else counted(guide.tokens, "token")
    lines = [Line(Content.assemble((words, "bold"), (f"   under the old key: {under}", "$muted")))]
    for step in guide.steps:
        lines += [Line(Content("")), *_step(step, width)]
    gaps = [reason for reason in (guide.outside, *guide.coverage.reasons) if reason]
    if gaps:
        lines.append(Line(Content("")))
    for reason in dict.fromkeys(gaps):
        lines += prose(f"not covered: {reason}", width, lead="▲ ", lead_style="$warning")
    return lines


def _step(step: GuideStep, width: int) -> Iterator[Line]:
    sign = STEPS[step.state]
    about = step.state.value + (", optional" if step.optional else "")
    title = (step.step.title, "$muted" if step.state is GuideStepState.WAITING else "bold")
    yield Line(Content.assemble(sign, f" {step.number} ", title, (f"   {about}", sign.style)))
    for text in step.verdict.evidence:
        yield from prose(text, width, lead="    ", style="$muted")
    for instruction in step.verdict.do:
        yield from _instruction(instruction, width)
    for text in step.verdict.warnings:
        yield from prose(text, width, lead="    ▲ ", lead_style="$warning")


def _instruction(instruction: Instruction, width: int) -> Iterator[Line]:
    text = instruction.text
    if instruction.kind is DoKind.NOTE:
        yield from prose(text, width, lead="    → ", lead_style="$accent")
        return
    what = "command" if instruction.kind is DoKind.COMMAND else "line"
    # Folded where the width ends: a space that isn't there would make it another command.
    first, *more = Content(text).stylize("bold").fold(max(width - 6, 20))
    arrow = Content.assemble(("    → ", "$accent"), first)
    yield Line(arrow, instruction, f"y sends the {what} to the clipboard.")
    yield from (Line(Content.assemble("      ", part)) for part in more)
    if instruction.instead_of:
        before = Content(f"instead of {instruction.instead_of}").stylize("$muted")
        yield from (Line(Content.assemble("      ", part)) for part in before.fold(max(width - 6, 20)))

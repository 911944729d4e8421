"""A manual rotation, step by step: what was seen, and exactly what to do next."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import ClassVar

from textual.binding import BindingType
from textual.content import Content
from textual.geometry import Size
from textual.widget import Widget

from crypto_core.foreign import clean
from crypto_core.keys.replacement.guide import DoKind, Guide, Instruction, Step, StepState
from screens.actions.action import Action, Scope
from screens.actions.performing import bindings
from screens.asking import ask
from screens.blocking import Trouble
from screens.facts import Facts
from screens.main_screen import MainScreen
from screens.signs import Sign
from screens.widgets.cells import tokens
from screens.widgets.clipboard import cell_as_text, send_to_clipboard
from screens.widgets.hint_line import HintLine
from screens.widgets.line_list import Line, LineList, indented
from screens.widgets.notice import Notice

STATES = {
    StepState.DONE: Sign("✔", "$success"),
    StepState.NOW: Sign("▶", "$accent"),
    StepState.WAITING: Sign("·", "$muted"),
    StepState.UNKNOWN: Sign("?", "$warning"),
    StepState.IMPOSSIBLE: Sign("✖", "$error"),
}


class GuideScreen(MainScreen):
    """The guide, looked at anew by itself: nothing is remembered but which two keys it is about."""

    NAME = "rotation"
    EVERY = 10.0
    ACTS: ClassVar[tuple[Scope, ...]] = (Scope.ROTATION,)
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(Scope.ROTATION)]

    def __init__(self, facts: Facts, old: str, new: str | None) -> None:
        super().__init__(facts)
        self._old = old
        self._new = new
        self._guide: Guide | None = None
        self._at: datetime | None = None
        self._trouble: Trouble | None = None
        self._asking = False

    def body(self) -> Iterable[Widget]:
        """Trouble if there is any, the steps, and what to do with the line under the cursor."""
        yield Notice()
        yield LineList()
        yield HintLine()

    def on_mount(self) -> None:
        """Look for the first time."""
        self.ask_anew()

    @property
    def crumb(self) -> tuple[str, str]:
        """From which key to which."""
        words = self.facts.key_words
        return (
            "Rotation",
            f"{words.short(self._old)} → {words.short(self._new) if self._new else 'a new key'}",
        )

    @property
    def freshness(self) -> tuple[datetime | None, bool]:
        """When it was looked at, and whether it is now."""
        return self._at, self._asking

    def ask_anew(self) -> None:
        """Look where the rotation stands now."""
        if not self._asking:
            self._asking = True
            look = self.facts.services.replacement.look
            ask(
                self,
                lambda cancelled: look(self._old, self._new, cancelled=cancelled),
                self._keep,
                group="rotation",
            )
            self.show_facts()

    def _keep(self, answer: Guide | Trouble) -> None:
        self._asking = False
        if isinstance(answer, Trouble):
            self._trouble = answer
        else:
            self._guide, self._trouble, self._at = answer, None, self.facts.clock()
        if self.is_mounted:
            self.show_facts()

    def show_facts(self) -> None:
        """Paint the steps as far as they are known."""
        self.show_path()
        self.query_one(Notice).tell(self._trouble)
        self.query_one(LineList).write(self._lines)

    def _lines(self, size: Size) -> Sequence[Line]:
        if self._guide is None:
            words = "No answer: r asks again." if self._trouble else "Looking at both keys and the tokens…"
            return indented([Line(Content.assemble((words, "$muted")))])
        return indented(guide_lines(self._guide, size.width - 3))

    def cursor_moved(self) -> None:
        """Say what can be done with the line under the cursor."""
        line = self.query_one(LineList).current
        self.query_one(HintLine).say(line.hint if line is not None else "")
        self.refresh_hints(line is not None)

    def possible(self, action: Action) -> bool | None:
        """Only what is to be typed somewhere can be copied."""
        if action.scope is Scope.ROTATION:
            there = self.is_mounted and bool(self.query(LineList))
            return True if there and self.query_one(LineList).current is not None else None
        return super().possible(action)

    def do_copy_line(self) -> None:
        """Send the command or setting under the cursor to the clipboard."""
        line = self.query_one(LineList).current
        if line is not None and isinstance(line.target, Instruction):
            send_to_clipboard(self, cell_as_text(line.target.text), line.target.text)


def guide_lines(guide: Guide, width: int) -> list[Line]:
    """Return a guide: where it stands, then each step with what was seen and what to do."""
    done = sum(step.state is StepState.DONE for step in guide.steps)
    words = "complete" if guide.complete else f"{done} of {len(guide.steps)} steps done"
    under = "not counted" if guide.tokens is None else tokens(guide.tokens)
    lines = [Line(Content.assemble((words, "bold"), (f"   under the old key: {under}", "$muted")))]
    for step in guide.steps:
        lines += [Line(Content("")), *_step(step, width)]
    gaps = [reason for reason in (guide.outside, *guide.coverage.reasons) if reason]
    if gaps:
        lines.append(Line(Content("")))
    for reason in dict.fromkeys(gaps):
        lines += _prose("▲ ", "$warning", f"not seen: {clean(reason, 600)}", width)
    return lines


def _step(step: Step, width: int) -> Iterator[Line]:
    sign = STATES[step.state]
    about = step.state.value + (", optional" if step.optional else "")
    title = (clean(step.title, 120), "$muted" if step.state is StepState.WAITING else "bold")
    yield Line(Content.assemble(sign, f" {step.number} ", title, (f"   {about}", sign.style)))
    for text in step.evidence:
        yield from _prose("    ", "", clean(text, 600), width, style="$muted")
    for instruction in step.do:
        yield from _instruction(instruction, width)
    for text in step.warnings:
        yield from _prose("    ▲ ", "$warning", clean(text, 600), width)


def _instruction(instruction: Instruction, width: int) -> Iterator[Line]:
    text = clean(instruction.text, 4_000)
    if instruction.kind is DoKind.NOTE:
        yield from _prose("    → ", "", text, width)
        return
    what = "command" if instruction.kind is DoKind.COMMAND else "line"
    # Folded where the width ends: a space that isn't there would make it another command.
    first, *more = Content(text).stylize("bold").fold(max(width - 6, 20))
    arrow = Content.assemble(("    → ", "$accent"), first)
    yield Line(arrow, instruction, f"y sends the {what} to the clipboard.")
    yield from (Line(Content.assemble("      ", part)) for part in more)
    if instruction.instead_of:
        before = Content(f"instead of {clean(instruction.instead_of, 4_000)}").stylize("$muted")
        yield from (Line(Content.assemble("      ", part)) for part in before.fold(max(width - 6, 20)))


def _prose(lead: str, lead_style: str, text: str, width: int, *, style: str = "") -> Iterator[Line]:
    """Words behind a lead, wrapped; what goes on below is set in as far as the lead is wide."""
    for number, part in enumerate(Content(text).stylize(style).wrap(max(width - len(lead), 20))):
        yield Line(Content.assemble((lead if not number else " " * len(lead), lead_style), part))

"""The evidence behind one day of a control."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date
from typing import ClassVar

from textual import on

from crypto_core.cancelling import Cancellation
from crypto_core.errors import InvalidFilterError
from screens.actions.action import ActionScope
from screens.answer_screen import AnswerScreen
from screens.compliance.day_evidence import DayEvidence, day_evidence
from screens.compliance.day_lines import day_lines
from screens.evidence_standing import Standing
from screens.facts import Facts
from screens.routes import Followed
from screens.widgets.clipboard import cell_as_text, send_to_clipboard
from screens.widgets.copied_lines import CopiedText, CopiedValue
from screens.widgets.line_list import Line, LineList


class ControlDayScreen(AnswerScreen[DayEvidence]):
    """What the record of the day holds about the control. It does not change, so nothing is asked anew."""

    NAME = "evidence-day"
    EVERY = 0.0
    ASKING = "Judging the record…"
    TEXT = CopiedText
    ACTS: ClassVar[tuple[ActionScope, ...]] = (ActionScope.EVIDENCE,)

    def __init__(self, facts: Facts, control: str, day: date, standing: Standing) -> None:
        super().__init__(facts)
        self.control, self.day, self.standing = control, day, standing

    @property
    def crumb(self) -> tuple[str, str]:
        """The control and the day."""
        number = self.answer.control.number if self.answer is not None else self.control
        return number, f"{self.day:%Y-%m-%d}"

    def ask_for(self, cancelled: Cancellation) -> DayEvidence:
        """Judge the day's record."""
        found = day_evidence(self.standing, self.control, self.day)
        if found is None:
            raise InvalidFilterError(f"There is no control {self.control}.", position=0)
        return found

    def lines(self, answer: DayEvidence, width: int) -> Iterable[Line]:
        """Return what the record holds."""
        return day_lines(answer, self.standing, self.facts.clock().astimezone(UTC).date(), width)

    def do_copy_hash(self) -> None:
        """Send the text under the cursor to the clipboard, whole."""
        line = self.query_one(LineList).current
        if line is not None:
            target = line.target
            text = target.text if isinstance(target, CopiedValue) else line.content.plain.strip()
            send_to_clipboard(self, cell_as_text(text), text)

    @on(Followed)
    def stay(self, event: Followed) -> None:
        """A text leads nowhere."""
        if isinstance(event.target, CopiedValue):
            event.stop()

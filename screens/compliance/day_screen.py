"""The evidence behind one day of a control."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date

from crypto_core.cancelling import Cancellation
from crypto_core.errors import InvalidFilterError
from screens.compliance.copied_page import CopiedPage
from screens.compliance.day_evidence import DayEvidence, day_evidence
from screens.compliance.day_lines import day_lines
from screens.evidence_standing import Standing
from screens.facts import Facts
from screens.widgets.line_list import Line


class ControlDayScreen(CopiedPage[DayEvidence]):
    """What the record of the day holds about the control."""

    NAME = "evidence-day"
    ASKING = "Judging the record…"

    def __init__(self, facts: Facts, control: str, day: date, standing: Standing) -> None:
        super().__init__(facts)
        self.control, self.day, self.standing = control, day, standing

    @property
    def crumb(self) -> tuple[str, str]:
        number = self.answer.control.number if self.answer is not None else self.control
        return number, f"{self.day:%Y-%m-%d}"

    def ask_for(self, cancelled: Cancellation) -> DayEvidence:
        found = day_evidence(self.standing, self.control, self.day)
        if found is None:
            raise InvalidFilterError(f"There is no control {self.control}.", position=0)
        return found

    def lines(self, answer: DayEvidence, width: int) -> Iterable[Line]:
        return day_lines(answer, self.standing, self.facts.clock().astimezone(UTC).date(), width)

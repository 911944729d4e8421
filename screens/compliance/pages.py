"""Pages of lines beside the map: the evidence behind a day, and what is open for the next audit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date
from typing import ClassVar, Generic, TypeVar

from textual import on
from textual.content import Content

from crypto_core.compliance.period.open_points import OpenPoint
from crypto_core.values.cancellation import Cancellation
from crypto_core.values.counts import counted
from crypto_core.values.errors import InvalidFilterError
from screens.answer_screen import AnswerScreen
from screens.compliance.control_status import ComplianceStanding
from screens.compliance.day_lines import DayEvidence, day_evidence, day_lines
from screens.event_filters import FIRST
from screens.facts import ScreenFacts
from screens.routes import ApprovalsRoute, EventsRoute, FindingsRoute, Followed, TokensRoute
from screens.signs import SIGNS
from screens.use.lines import BLANK, prose
from screens.widgets.clipboard import cell_as_text, send_to_clipboard
from screens.widgets.event_text import CopiedText, CopiedValue, copied_lines
from screens.widgets.line_list import Line, LineList

Answer = TypeVar("Answer")
_ROUTES: dict[str, object] = {
    "keydeck findings": FindingsRoute(""),
    "keydeck approvals": ApprovalsRoute(),
    "keydeck status": TokensRoute(""),
    "keydeck events": EventsRoute(FIRST),
}
"""The screens that show the same as a command, by how it begins."""


class CopiedPage(AnswerScreen[Answer], Generic[Answer]):
    """One page of what is known already: it doesn't change, so nothing is asked anew."""

    EVERY = 0.0
    TEXT = CopiedText
    ACTS: ClassVar[tuple[str, ...]] = ("evidence",)

    def do_copy_hash(self) -> None:
        line = self.query_one(LineList).current
        if line is not None:
            target = line.target
            text = target.text if isinstance(target, CopiedValue) else line.content.plain.strip()
            send_to_clipboard(self, cell_as_text(text), text)

    @on(Followed)
    def lead_on(self, event: Followed) -> None:
        if isinstance(event.target, CopiedValue):
            event.stop()
            if event.target.leads_to is not None:
                self.post_message(Followed(event.target.leads_to))


class OpenPointsScreen(CopiedPage[Sequence[OpenPoint]]):
    NAME = "open-points"

    def __init__(self, facts: ScreenFacts, standing: ComplianceStanding) -> None:
        super().__init__(facts)
        self.standing = standing

    @property
    def crumb(self) -> tuple[str, str]:
        return "Open points", f"{self.standing.since} to {self.standing.until}"

    def ask_for(self, cancelled: Cancellation) -> Sequence[OpenPoint]:
        return self.standing.points

    def lines(self, answer: Sequence[OpenPoint], width: int) -> Iterable[Line]:
        words = (
            counted(len(answer), "open point") if answer else "Nothing is open, as far as the records tell"
        )
        yield Line(Content.assemble((words, "bold")))
        for point in answer:
            yield from _point(point, width)
        yield from _besides(self.standing, width)


def _point(point: OpenPoint, width: int) -> Iterator[Line]:
    sign = SIGNS[point.severity]
    route = next((to for start, to in _ROUTES.items() if point.command.startswith(start)), None)
    yield from copied_lines(point.what, width, lead=f"{sign.text} ", lead_style=sign.style, leads_to=route)
    if point.command:
        yield from copied_lines(
            point.command, width, lead="  → ", lead_style="$accent", style="bold", leads_to=route
        )


def _besides(standing: ComplianceStanding, width: int) -> Iterator[Line]:
    period = standing.period
    if period is None:
        return
    for title, texts, lead, style in (
        ("What is wrong with the records", period.problems, "✖ ", "$error"),
        ("What this period can't tell", period.unknown, "? ", "$warning"),
    ):
        if texts:
            yield BLANK
            yield Line(Content.assemble((title, "bold")))
            for text in texts:
                yield from prose(text, width, lead=lead, lead_style=style)


class ControlDayScreen(CopiedPage[DayEvidence]):
    NAME = "evidence-day"
    ASKING = "Judging the record…"

    def __init__(self, facts: ScreenFacts, control: str, day: date, standing: ComplianceStanding) -> None:
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

"""What is open for the next audit, each point with the command or the screen that settles it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar

from textual import on
from textual.content import Content

from crypto_core.cancelling import Cancellation
from crypto_core.text.counting import counted
from screens.actions.action import ActionScope
from screens.answer_screen import AnswerScreen
from screens.evidence_standing import Standing
from screens.facts import Facts
from screens.routes import ApprovalsRoute, FindingsRoute, Followed
from screens.services import OpenPoint
from screens.use.lines import BLANK, prose
from screens.widgets.clipboard import cell_as_text, send_to_clipboard
from screens.widgets.copied_lines import CopiedText, CopiedValue, copied_lines
from screens.widgets.line_list import Line, LineList

_ROUTES: dict[str, object] = {
    "keydeck findings": FindingsRoute(""),
    "keydeck approvals": ApprovalsRoute(),
}
"""The screens that show the same as a command, by how it begins."""


class OpenPointsScreen(AnswerScreen[Sequence[OpenPoint]]):
    """The open points of one period, the most pressing first."""

    NAME = "open-points"
    EVERY = 0.0
    TEXT = CopiedText
    ACTS: ClassVar[tuple[ActionScope, ...]] = (ActionScope.EVIDENCE,)

    def __init__(self, facts: Facts, standing: Standing) -> None:
        super().__init__(facts)
        self.standing = standing

    @property
    def crumb(self) -> tuple[str, str]:
        """How many there are."""
        return "Open points", f"{self.standing.since} to {self.standing.until}"

    def ask_for(self, cancelled: Cancellation) -> Sequence[OpenPoint]:
        """Those of the period."""
        return self.standing.points

    def lines(self, answer: Sequence[OpenPoint], width: int) -> Iterable[Line]:
        """Return the points, then what is wrong with the records, and what the period can't tell."""
        words = (
            counted(len(answer), "open point") if answer else "Nothing is open, as far as the records tell"
        )
        yield Line(Content.assemble((words, "bold")))
        for point in answer:
            yield from _point(point, width)
        yield from _besides(self.standing, width)

    def do_copy_hash(self) -> None:
        """Send the command or the text under the cursor to the clipboard, whole."""
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


def _point(point: OpenPoint, width: int) -> Iterator[Line]:
    yield BLANK
    yield from copied_lines(point.what, width, lead="▲ ", lead_style="$warning")
    if point.command:
        route = next((to for start, to in _ROUTES.items() if point.command.startswith(start)), None)
        yield from copied_lines(
            point.command, width, lead="  → ", lead_style="$accent", style="bold", target=route
        )


def _besides(standing: Standing, width: int) -> Iterator[Line]:
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

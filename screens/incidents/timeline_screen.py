"""The timeline of an incident: who did what, and when."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from textual.content import Content

from crypto_core.incidents.model import EntryKind, IncidentView, TimelineEntry
from crypto_core.values.cancellation import Cancellation
from screens.answer_screen import UseScreen
from screens.facts import ScreenFacts
from screens.identities import person
from screens.moments import local
from screens.widgets.cells import fit
from screens.widgets.event_text import EventText
from screens.widgets.line_list import Line, line

_LEAD = 8 + 2 + 12 + 1 + 10
_STYLES = dict.fromkeys(EntryKind, "") | {
    EntryKind.DONE: "$success",
    EntryKind.SKIPPED: "$warning",
    EntryKind.REOPENED: "$warning",
    EntryKind.ACCEPTED: "$warning",
    EntryKind.NOTE: "$accent",
    EntryKind.ROLE: "$accent",
    EntryKind.FOLLOW_UP: "$accent",
}


class IncidentTimelineScreen(UseScreen[IncidentView]):
    """The newest entry first."""

    NAME = "timeline"
    EVERY = 2.0
    ASKING = "Reading the timeline…"
    TEXT = EventText

    def __init__(self, facts: ScreenFacts, incident: int) -> None:
        super().__init__(facts)
        self.incident = incident

    @property
    def crumb(self) -> tuple[str, str]:
        return "Timeline", ""

    def ask_for(self, cancelled: Cancellation) -> IncidentView:
        return self.facts.services.incidents.show(self.incident)

    def lines(self, answer: IncidentView, width: int) -> Iterable[Line]:
        return entry_lines(answer, width, self.facts)


def entry_lines(view: IncidentView, width: int, facts: ScreenFacts) -> Iterator[Line]:
    numbers = {step.step.id: step.number for step in view.steps}
    now, day = facts.clock(), None
    for entry in reversed(view.entries):
        at = local(entry.at, now)
        if at.date() != day:
            day = at.date()
            yield line((f"{day:%Y-%m-%d}", "bold"))
        yield from _entry(entry, f"{at:%H:%M:%S}", numbers.get(entry.step_id), width)
    if not view.entries:
        yield line(("Nothing yet.", "$muted"))


def _entry(entry: TimelineEntry, at: str, number: int | None, width: int) -> Iterator[Line]:
    step = f"step {number}: " if number is not None else ""
    parts = Content.assemble((step, "$muted"), entry.text).wrap(max(width - _LEAD, 16))
    for index, part in enumerate(parts):
        lead = Content(" " * _LEAD)
        if index == 0:
            lead = Content.assemble(
                (f"{at}  ", "$muted"),
                fit(person(entry.actor), 12),
                " ",
                (fit(entry.kind.value, 10), _STYLES[entry.kind]),
            )
        yield line(lead, part)

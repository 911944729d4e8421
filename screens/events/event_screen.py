"""One event: every field of it, then the record as CloudTrail wrote it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual.content import Content
from textual.highlight import highlight

from crypto_core.trail.record_reader import load
from crypto_core.trail.store import StoredEvent
from crypto_core.values.cancellation import Cancellation
from crypto_core.values.clean_text import clean
from screens.actions.action import Action
from screens.answer_screen import AnswerScreen
from screens.blocking_calls import Failure
from screens.events.event_actor import EventActor
from screens.events.event_lines import field_lines
from screens.facts import ScreenFacts
from screens.identities import noted_by
from screens.widgets.clipboard import MOST, send_to_clipboard
from screens.widgets.event_text import EventText
from screens.widgets.line_list import Line
from screens.widgets.notice import NoticeBar
from screens.worker_calls import ask

MOST_CHARACTERS = 100_000
LONGEST_LINE = 2_000


@dataclass(frozen=True, slots=True)
class EventPage:
    row: StoredEvent
    raw: Sequence[Content]


class EventScreen(EventActor, AnswerScreen[EventPage]):
    """Enter on a field leads to what it names, or to the events that have the same value."""

    NAME = "event"
    EVERY = 300.0
    ASKING = "Reading the event…"
    TEXT = EventText
    ACTS: ClassVar[tuple[str, ...]] = ("event", "blocking")

    def __init__(self, facts: ScreenFacts, event_id: str) -> None:
        super().__init__(facts)
        self.event_id = event_id
        self._folded: tuple[object, list[Line]] = (None, [])

    @property
    def crumb(self) -> tuple[str, str]:
        return "Event", self.answer.row.event.name if self.answer is not None else ""

    @property
    def event_in_hand(self) -> StoredEvent | None:
        return self.answer.row if self.answer is not None else None

    def ask_for(self, cancelled: Cancellation) -> EventPage:
        row = self.facts.services.events.event(self.event_id)
        return EventPage(row, readable(row.event.raw))

    def lines(self, answer: EventPage, width: int) -> Iterable[Line]:
        yield from field_lines(answer.row, self.facts, width)
        yield Line(Content(""))
        size = f"   {len(answer.row.event.raw):,} bytes, as CloudTrail has it"
        yield Line(Content.assemble(("Record", "bold"), (size, "$muted")))
        asked = (answer, width)
        if self._folded[0] != asked:
            folded = [Line(part) for line in answer.raw for part in line.fold(width) or [Content("")]]
            self._folded = asked, folded
        yield from self._folded[1]

    def cursor_moved(self) -> None:
        super().cursor_moved()
        line = self.query_one(EventText).current
        self.refresh_hints(line is not None and line.target is not None, self.answer is not None)

    def possible(self, action: Action) -> bool | None:
        possible = super().possible(action)
        if possible and action.scope == "event" and self.answer is None:
            return None
        if action.id == "event.principal" and self.answer and not self.answer.row.event.principal.arn:
            return None
        return possible

    def do_reviewed(self) -> None:
        if self.answer is None:
            return
        reviewed = self.answer.row.reviewed_at is None
        events, by = self.facts.services.events, noted_by(self.facts.surroundings.value)
        ask(
            self,
            lambda _: events.review([self.event_id], by, reviewed=reviewed),
            lambda answer: self.noted((self.event_id,), answer),
            group="note",
        )

    def noted(self, ids: tuple[str, ...], answer: object) -> None:
        if isinstance(answer, Failure):
            self.query_one(NoticeBar).tell(answer)
        else:
            self.ask_anew()

    def do_copy_id(self) -> None:
        text = self.event_id
        send_to_clipboard(self, text, text)

    def do_copy_raw(self) -> None:
        """Send the record to the clipboard, on one line, as much of it as terminals take."""
        if self.answer is None:
            return
        raw = self.answer.row.event.raw
        text = clean(raw.decode("utf-8", "replace"), MOST // 4 if not raw.isascii() else MOST)
        send_to_clipboard(self, text, f"the record{', its beginning' if text.endswith('…') else ''}")


def readable(raw: bytes) -> list[Content]:
    """Return a record's JSON as coloured ASCII lines, cut where too long. Slow: for a worker's thread."""
    try:
        text = json.dumps(load(raw), indent=2, ensure_ascii=True)
    except (ValueError, RecursionError):
        text = clean(raw[: LONGEST_LINE * 4].decode("utf-8", "replace"), LONGEST_LINE)
        return [Content.assemble(("The record can't be formatted; it begins:", "$warning")), Content(text)]
    lines: list[str] = []
    room = MOST_CHARACTERS
    for line in text.split("\n"):
        if room <= 0:
            break
        cut = len(line) - LONGEST_LINE
        lines.append(f"{line[:LONGEST_LINE]}… ({cut:,} more characters)" if cut > 0 else line)
        room -= len(lines[-1]) + 1
    coloured = list(highlight("\n".join(lines), language="json").split("\n", allow_blank=True))
    if room <= 0:
        words = f"… cut: the record has {len(raw):,} bytes. E on the list exports it whole."
        coloured.append(Content.assemble((words, "$warning")))
    return coloured

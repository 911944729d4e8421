"""A token's timeline: who opened it, as far as CloudTrail can tell."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from textual.content import Content

from crypto_core.cancelling import Cancellation
from crypto_core.provider_logs.token_use import BY_TIME, Certainty, Doing, TokenDeed, TokenUse
from crypto_core.references import TokenRef
from crypto_core.text.counting import counted
from crypto_core.trail.use.token_timeline import TokenTimeline
from screens.facts import Facts
from screens.moments import clock_time
from screens.routes import EventRoute
from screens.use.lines import BLANK, POSSIBLE, TIME_CELLS, gap_lines, prose
from screens.use.token_lines import token_lines
from screens.use.use_screen import UseScreen
from screens.widgets.cells import cut, fit
from screens.widgets.line_list import Line, line

_OLD, _THEFT = "old token", "thief?"
_MARK_CELLS = 11


@dataclass(frozen=True, slots=True)
class OpenedAndUsed:
    """What CloudTrail tells of a token and, where audit logs can be asked, what its provider does."""

    timeline: TokenTimeline
    use: TokenUse | None


class TokenScreen(UseScreen[OpenedAndUsed]):
    """Exact for v2. Of a v1 token it shows what could have opened it, set apart: no record names it."""

    NAME = "timeline"
    ASKING = "Counting the token's events…"

    def __init__(self, facts: Facts, ref: TokenRef) -> None:
        super().__init__(facts)
        self._ref = ref

    @property
    def crumb(self) -> tuple[str, str]:
        return "Timeline", str(self._ref)

    def ask_for(self, cancelled: Cancellation) -> OpenedAndUsed:
        """Count the events that name it, and those that could be about it; and find what was done with it."""
        services = self.facts.services
        timeline = services.event_use.token_timeline(self._ref, cancelled=cancelled)
        uses = services.token_uses
        use = None if uses is None else uses.use_of(timeline, cancelled=cancelled)
        return OpenedAndUsed(timeline, use)

    def lines(self, answer: OpenedAndUsed, width: int) -> Iterable[Line]:
        use = () if answer.use is None else use_lines(answer.use, width, self.facts)
        return token_lines(answer.timeline, width, self.facts, use)


def use_lines(answer: TokenUse, width: int, facts: Facts) -> Iterator[Line]:
    """Yield what was done with a token, in one list with who opened it, the newest first."""
    yield BLANK
    title = (
        f"Opened and used: used {counted(answer.used, 'time')}, "
        f"may have been used {counted(answer.may_have_used, 'time')}"
    )
    yield Line(Content.assemble((title, "bold")))
    for statement in answer.statements:
        if statement == BY_TIME:
            yield from prose(statement, width, style="$muted")
        else:
            yield from prose(statement, width, lead="✖ ", lead_style="$error")
    marks = _MARK_CELLS if answer.thefts else 0
    for deed in reversed(answer.deeds):
        yield _deed_line(deed, marks, width, facts)
    if answer.left_out:
        words = f"  … and {answer.left_out:,} older: keydeck events token '{answer.ref}' --json"
        yield Line(Content.assemble((words, "$muted")))
    yield from gap_lines(answer.coverage, width)


def _deed_line(deed: TokenDeed, marks: int, width: int, facts: Facts) -> Line:
    mark = _OLD if deed.old else (_THEFT if deed.theft else "")
    style = "$error" if mark else ("bold" if deed.doing is Doing.USED else "")
    target = EventRoute(deed.event_id) if deed.doing is Doing.OPENED else None
    room = max(width - 2 - TIME_CELLS - 2 - marks, 10)
    return line(
        (fit("" if deed.certainty is Certainty.FACT else POSSIBLE, 2), "$warning"),
        (fit(clock_time(deed.at, facts.clock()), TIME_CELLS) + "  ", "$muted"),
        (fit(mark, marks), "$error"),
        (cut(deed.words, room), style),
        target=target,
        hint=f"Enter: the event. {deed.reason}" if target is not None else "",
    )

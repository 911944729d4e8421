"""Openings and uses of a token in one list: facts, possibilities, and what looks like a thief's."""

from __future__ import annotations

from collections.abc import Iterator

from textual.content import Content

from crypto_core.provider_logs.joining import BY_TIME
from crypto_core.provider_logs.token_use import Certainty, Doing, TokenDeed, TokenUse
from crypto_core.text.counting import counted
from screens.facts import Facts
from screens.moments import clock_time
from screens.routes import EventRoute
from screens.use.lines import BLANK, POSSIBLE, TIME_CELLS, gap_lines, prose
from screens.widgets.cells import cut, fit
from screens.widgets.line_list import Line, line

_OLD, _THEFT = "old token", "thief?"
_MARK_CELLS = 11


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

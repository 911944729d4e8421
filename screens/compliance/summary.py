"""The lines above the map: how controls stand, and whether the records can be relied on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from textual.content import Content

from crypto_core.text.counting import counted
from screens.compliance.grid import ControlRow, counts
from screens.control_signs import CONTROL_SIGNS, ControlState
from screens.evidence_standing import Standing
from screens.facts import Facts
from screens.widgets.cells import cut, spread

BEGIN = "keydeck evidence record"
SCHEDULE = "keydeck evidence schedule"


def summary(standing: Standing, rows: Sequence[ControlRow], facts: Facts, width: int) -> Content:
    """Return how the controls that are listed stand, and what the records are worth."""
    first = spread(_counts(rows), _right(standing), width)
    return Content("\n").join([first, *_records(standing, facts, width)])


def _counts(rows: Sequence[ControlRow]) -> Content:
    parts: list[tuple[str, str]] = []
    for state, number in counts(rows):
        sign = CONTROL_SIGNS[state]
        lead = sign.text.strip()
        grave = state in (ControlState.NOT_MET, ControlState.NOT_ASSESSED)
        style = f"bold {sign.style}" if grave and state is ControlState.NOT_MET else sign.style
        parts += [(f"{lead} {number} {state}" if lead else f"{number} {state}", style), ("   ", "")]
    return Content.assemble(*parts[:-1]) if parts else Content.assemble(("no controls", "$muted"))


def _right(standing: Standing) -> Content:
    """What else the first line says: the lapses, and the days without a record."""
    if standing.period is None:
        return Content.assemble(("as measured now", "$muted"))
    lapses, gaps = standing.period.lapses, len(standing.period.gaps)
    still = sum(not one.over for one in lapses)
    words = counted(len(lapses), "lapse") + (f", {still} open" if still else "")
    days = (standing.until - standing.since).days + 1
    return Content.assemble(
        (words, "$error" if still else "" if lapses else "$muted"),
        "   ",
        (f"{gaps} of {days} days without a record" if gaps else "a record on every day", _gap_style(gaps)),
    )


def _gap_style(gaps: int) -> str:
    return "$warning" if gaps else "$muted"


def _records(standing: Standing, facts: Facts, width: int) -> Iterator[Content]:
    """What the records are worth, or how to begin with them."""
    period = standing.period
    if period is None:
        yield _how_to_begin(standing, facts, width)
        return
    if period.problems:
        more = len(period.problems) - 1
        tail = f" (and {more} more: o)" if more else ""
        words = cut(period.problems[0], max(width - 2 - len(tail), 10))
        yield Content.assemble(("✖ ", "$error"), (f"{words}{tail}", "bold $error"))
    elif period.unchecked:
        words = f"Records 1–{standing.last}: the chain is whole; signatures not checked: {period.unchecked}"
        yield Content.assemble(("▲ ", "$warning"), (cut(words, width - 2), "$muted"))
    elif not period.records:
        words = f"No record in this period; the newest is record {standing.last}. d chooses another period."
        yield Content.assemble(("▲ ", "$warning"), cut(words, width - 2))
    else:
        first, last = period.records[0].number, period.records[-1].number
        named = f"Records {first}–{last}" if last > first else f"Record {last}"
        unsigned = len(period.unsigned)
        words = f"{named}: the chain is whole, every signature fits"
        if unsigned:
            words = f"{named}: the chain is whole; {counted(unsigned, 'record')} not signed"
        sign = ("▲ ", "$warning") if unsigned else ("● ", "$success")
        yield Content.assemble(sign, (cut(words, width - 2), "$muted"))


def _how_to_begin(standing: Standing, facts: Facts, width: int) -> Content:
    if standing.no_records:
        return Content.assemble(("▲ ", "$warning"), cut(standing.no_records, width - 2))
    return Content.assemble(
        ("→ ", "$accent"),
        "No record yet: ",
        (BEGIN, "bold"),
        " makes one, ",
        (SCHEDULE, "bold"),
        " one each day",
    ).truncate(width, ellipsis=True)

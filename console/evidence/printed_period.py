"""How controls stood over days, in print: the worst first, then lapses, and what isn't known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from textwrap import wrap

from console.printed.lists import Printout
from console.printed.terminal import styled
from crypto_core.compliance.control import FrameworkControl
from crypto_core.compliance.period.open_points import open_points
from crypto_core.compliance.period.period import AuditPeriod, Lapse
from crypto_core.values.counts import counted
from screens.compliance.day_lines import bounds, ending, when
from screens.compliance.grid import CONTROL_SIGNS, ControlRow, ControlState, count_words, rows_of
from screens.signs import SIGNS

_WIDTH = 80
_INDENT = " " * 6
_MOST_NUMBERS = 8
"""Controls of one framework that are named with a lapse."""


def period_listing(period: AuditPeriod) -> Printout[ControlRow]:
    """Return the controls of a period, the worst of each framework first, and all else beside them."""
    return Printout(
        name="controls",
        schema="control-period",
        rows=rows_of(period.controls, period.made_at.date()),
        record=lambda row: row.period.as_json(),
        text=lambda rows: _text(period, tuple(rows)),
        rest=lambda: period.as_json() | {"open_points": [one.as_json() for one in open_points(period)]},
    )


def period_code(period: AuditPeriod) -> int:
    """Return 1 for a lapse that nobody excepted and for records that are wrong, 3 for days without one."""
    if period.fails or period.problems:
        return 1
    return 3 if period.gaps or not period.records else 0


def _text(period: AuditPeriod, rows: Sequence[ControlRow]) -> Iterator[str]:
    gaps = f"; {counted(len(period.gaps), 'day')} without one" if period.gaps else ""
    yield f"{period.since} to {period.until}, by {counted(len(period.records), 'record')}{gaps}"
    for framework, found in groupby(rows, key=lambda row: row.control.framework.id):
        theirs = tuple(found)
        titles = dict.fromkeys(f"{r.control.framework.title} {r.control.framework.edition}" for r in theirs)
        yield ""
        yield f"{framework}: {'; '.join(titles)}"
        yield f"  now {count_words(row.latest for row in theirs)}"
        for row in theirs:
            yield from _control(row)
    yield from _lapses("Lapses", period.lapses, "No lapse is known.")
    if period.explained:
        yield from _lapses("Seen in events, and explained by operations on record", period.explained, "")
    yield from _points(period)
    yield from _sentences("Wrong with the records", period.problems)
    yield from _sentences("Not known", period.unknown)
    yield from _sentences("Signatures were not checked", (period.unchecked,) if period.unchecked else ())


def _control(row: ControlRow) -> Iterator[str]:
    control, sign = row.control, CONTROL_SIGNS[row.worst]
    owner = f" [{control.owner}]" if control.owner else ""
    yield f"  {styled(sign.text, sign.style)} {control.number} {control.title}{owner}"
    if row.wrong:
        numbers = {state: row.states.count(state) for state in ControlState}
        told = [f"{state} {counted(number, 'day')}" for state, number in numbers.items() if number]
        yield f"{_INDENT}{', '.join(told)}"


def _lapses(heading: str, lapses: Sequence[Lapse], none: str) -> Iterator[str]:
    yield ""
    yield f"{heading}: {len(lapses):,}" if lapses else none
    for lapse in lapses:
        sign = CONTROL_SIGNS[ControlState.EXCEPTED if lapse.excepted else ControlState.NOT_MET]
        yield f"  {styled(sign.text, sign.style)} {when(lapse)}, UTC"
        for sentence in (lapse.what, *_told(lapse)):
            yield from _wrapped(sentence)


def _told(lapse: Lapse) -> Iterator[str]:
    if lapse.began_by:
        yield f"began: {lapse.began_by}"
    yield f"ended: {lapse.ended_by}" if lapse.ended_by else ending(lapse)
    if beyond := bounds(lapse):
        yield f"{beyond}, UTC"
    for framework, found in groupby(lapse.controls, key=lambda one: one.framework.id):
        yield f"{framework}: {_numbers(tuple(found))}"
    known = ", ".join(f"{number:,}" for number in lapse.records[:3])
    more = f" and {len(lapse.records) - 3:,} more" if len(lapse.records) > 3 else ""
    yield f"known by {lapse.source}" + (f": {known}{more}" if known else "")
    yield from lapse.remarks
    yield from (f"{one.control} {one.words}" for one in lapse.exemptions)


def _numbers(controls: Sequence[FrameworkControl]) -> str:
    more = len(controls) - _MOST_NUMBERS
    named = ", ".join(one.number for one in controls[:_MOST_NUMBERS])
    return f"{named} and {more} more" if more > 0 else named


def _points(period: AuditPeriod) -> Iterator[str]:
    """What is open for the next audit, the most pressing first, each with its command."""
    points = open_points(period)
    if not points:
        return
    yield ""
    yield f"Open for the next audit: {len(points):,}"
    for point in points:
        sign = SIGNS[point.severity]
        yield f"  {styled(sign.text, sign.style)} {point.severity}"
        yield from _wrapped(point.what)
        if point.command:
            yield f"{_INDENT}{point.command}"


def _sentences(heading: str, sentences: Sequence[str]) -> Iterator[str]:
    if sentences:
        yield ""
        yield f"{heading}:"
        for one in sentences:
            yield from _wrapped(one)


def _wrapped(sentence: str) -> Iterator[str]:
    yield from wrap(sentence, _WIDTH, initial_indent=_INDENT, subsequent_indent=_INDENT + "  ")

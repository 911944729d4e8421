"""What stands beside the map: the control and the day under the cursor, and the control's lapses."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from textual.content import Content

from crypto_core.compliance.answer import ControlStatus
from crypto_core.compliance.assessment import Judgement
from screens.compliance.day_evidence import DayEvidence, day_evidence, lapses_of
from screens.compliance.day_lines import day_lines, lapse_lines
from screens.compliance.grid import Cell, ControlRow, DayColumn
from screens.control_signs import CONTROL_SIGNS, ControlState
from screens.evidence_standing import Standing
from screens.styled import StyledLine

_LAPSES = 20
_LEAD = 2
"""Cells of a sign and what parts it from its text."""


def row_content(
    standing: Standing, row: ControlRow, column: DayColumn, today: date, width: int, *, whole: bool
) -> Content:
    """Return what is known of a control, of its days in a column, and of its lapses, wrapped to `width`.

    `whole` has all evidence of the worst of the days, too, as its own page has it.
    """
    evidence = day_evidence(standing, row.control.id, row.worst_day(column))
    lines = [part for styled in _lines(standing, row, column, evidence) for part in _wrapped(styled, width)]
    if whole and evidence is not None:
        lines += [Content(""), *(line.content for line in day_lines(evidence, standing, today, width))]
    return Content("\n").join(lines)


def _wrapped(styled: StyledLine, width: int) -> Iterator[Content]:
    """A line; where its first part is a sign, what goes on below is set in behind that."""
    first, *rest = styled
    hangs = isinstance(first, tuple) and len(first[0]) == _LEAD
    room = width - _LEAD if hangs else width
    for number, part in enumerate(Content.assemble(*(rest if hangs else styled)).wrap(max(room, 20))):
        lead = first if hangs and not number else " " * _LEAD if hangs else ""
        yield Content.assemble(lead, part)


def _lines(
    standing: Standing, row: ControlRow, column: DayColumn, evidence: DayEvidence | None
) -> Iterator[StyledLine]:
    control = row.control
    owner = (f"  {control.owner}", "$muted") if control.owner else ""
    yield (control.number, "bold"), " ", (control.title, "bold"), owner
    cell = row.cell(column)
    sign = CONTROL_SIGNS[cell.state]
    yield (
        (f"{column.words}  ", "$accent"),
        (f"{sign.text} {_state_words(cell, column)}".strip(), sign.style),
        (_source(evidence), "$muted"),
    )
    if evidence is not None and evidence.judgement is not None:
        yield from _why(evidence.judgement)
    lapses = lapses_of(standing, control.id)
    for lapse in lapses[:_LAPSES]:
        yield from lapse_lines(lapse)
    if len(lapses) > _LAPSES:
        yield ((f"and {len(lapses) - _LAPSES} earlier lapses", "$muted"),)
    if not lapses and standing.period is not None:
        yield (("no lapse in this period", "$muted"),)


def _state_words(cell: Cell, column: DayColumn) -> str:
    several = column.first != column.last
    if several and cell.state is ControlState.MET:
        return "met on every day with a record" if cell.gap else "met on every day"
    at_worst = " at its worst" if several and cell.state.known else ""
    gap = ", with a day without a record" if cell.gap and cell.state is not ControlState.GAP else ""
    return f"{cell.state}{at_worst}{gap}"


def _source(evidence: DayEvidence | None) -> str:
    if evidence is None or evidence.record is None:
        return ""
    signed = "signed" if evidence.record.signature is not None else "not signed"
    return f"  record {evidence.record.number}, {evidence.record.taken_at:%H:%M} UTC, {signed}"


def _why(judgement: Judgement) -> Iterator[StyledLine]:
    """The first line of each test that did not find what it wants."""
    if judgement.exemption is not None or judgement.reason:
        yield (judgement.words,)
    for name, answer in judgement.answers:
        if answer.status in (ControlStatus.NOT_MET, ControlStatus.PARTLY) and answer.lines:
            yield (f"{name}: ", "$muted"), answer.lines[0]

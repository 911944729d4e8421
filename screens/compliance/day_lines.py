"""The evidence behind a control's day, and it as lines: on a page of its own, and beside the map."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

from textual.content import Content

from crypto_core.compliance.answer import ControlAnswer, ControlStatus
from crypto_core.compliance.assessment import Judgement, judge
from crypto_core.compliance.control import Exemption, FrameworkControl
from crypto_core.compliance.control_tests import ALL_TESTS
from crypto_core.compliance.facts import ChangeFact
from crypto_core.compliance.period.period import ControlPeriod, Lapse, LapseSource
from crypto_core.compliance.records.record import EvidenceRecord
from crypto_core.proof.forms import FIRST
from screens.compliance.control_status import ComplianceStanding
from screens.compliance.grid import (
    CONTROL_SIGNS,
    ControlRow,
    ControlState,
    DayColumn,
    GridCell,
    control_state,
)
from screens.identities import person
from screens.moments import span
from screens.routes import EventRoute, JobRoute
from screens.styled_text import BAD, StyledLine, plain
from screens.use.lines import BLANK, NAME_CELLS
from screens.widgets.cells import fit
from screens.widgets.event_text import copied_lines
from screens.widgets.line_list import Line


@dataclass(frozen=True, slots=True, eq=False)
class DayEvidence:
    """All that is known of one control on one day. Without a record there is no judgement."""

    control: FrameworkControl
    day: date
    status: ControlStatus | None = None
    """What the day came to; None without a record. Events may tell worse of it than its record."""
    excepted: bool = False
    judgement: Judgement | None = None
    record: EvidenceRecord | None = None
    others: Sequence[int] = ()
    """The numbers of the day's other records: the day is the worst of them all."""
    follows: bool | None = None
    """Whether the record names the digest of the one before; None where that one was not read."""
    changes: Sequence[ChangeFact] = ()
    lapses: Sequence[Lapse] = ()
    """What was not met on that day, as far as it is this control's."""


def day_evidence(standing: ComplianceStanding, control: str, day: date) -> DayEvidence | None:
    """Return the evidence for a control's day, None where the standing has no such control. Pure."""
    period = next((one for one in standing.controls if one.control.id == control), None)
    if period is None:
        return None
    if standing.period is None:
        judged = [one for one in standing.now.judgements if one.control.id == control] if standing.now else []
        found = judged[0] if judged else None
        excepted = found is not None and found.exemption is not None
        return DayEvidence(period.control, day, found.status if found else None, excepted, found)
    known = next((one for one in period.days if one.day == day), None)
    record = standing.records.get(known.record) if known is not None else None
    return DayEvidence(
        period.control,
        day,
        known.status if known is not None else None,
        known is not None and known.excepted,
        _judged(period, record),
        record,
        tuple(n for n, one in standing.records.items() if one.day == day and one is not record),
        follows(standing, record),
        tuple(one for one in standing.period.changes if one.at.astimezone(UTC).date() == day),
        tuple(one for one in lapses_of(standing, control) if _covers(one, day)),
    )


def lapses_of(standing: ComplianceStanding, control: str) -> tuple[Lapse, ...]:
    """Return the lapses that a control was not met for, the newest first."""
    lapses = standing.period.lapses if standing.period is not None else ()
    own = [one for one in lapses if any(c.id == control for c in one.controls)]
    return tuple(sorted(own, key=lambda one: one.first_at, reverse=True))


def follows(standing: ComplianceStanding, record: EvidenceRecord | None) -> bool | None:
    """Return whether a record names the digest of the one before, None where that one is not at hand."""
    if record is None:
        return None
    if record.number == 1:
        return record.previous == FIRST
    before = standing.records.get(record.number - 1)
    return record.previous == before.digest if before is not None else None


def _judged(period: ControlPeriod, record: EvidenceRecord | None) -> Judgement | None:
    if record is None:
        return None
    return judge(period.control, record.snapshot, _exemption(period, record))


def _exemption(period: ControlPeriod, record: EvidenceRecord) -> Exemption | None:
    """The exception that held when the record was made, else the last of those that were over by then."""
    ordered = sorted(period.exemptions, key=lambda one: one.until)
    return next((one for one in ordered if one.holds(record.taken_at)), ordered[-1] if ordered else None)


def _covers(lapse: Lapse, day: date) -> bool:
    return lapse.first_at.astimezone(UTC).date() <= day <= lapse.last_at.astimezone(UTC).date()


def when(lapse: Lapse) -> str:
    first, last = moment(lapse.first_at), moment(lapse.last_at)
    if lapse.first_at == lapse.last_at:
        return first
    return f"{first} – {last} ({span(lapse.last_at - lapse.first_at)})"


def bounds(lapse: Lapse) -> str:
    """Return how far beyond that it may have reached; "" where both ends are known."""
    told = []
    if lapse.after is None and lapse.source is LapseSource.RECORDS:
        told.append("so from the beginning of the records on")
    elif lapse.after is not None and lapse.after < lapse.first_at:
        told.append(f"not so on {moment(lapse.after)}")
    if lapse.before is None:
        told.append("not over yet")
    elif lapse.before > lapse.last_at:
        told.append(f"over by {moment(lapse.before)}")
    return "; ".join(told)


def ending(lapse: Lapse) -> str:
    if not lapse.over:
        return "still open"
    return f"ended by {lapse.ended_by}" if lapse.ended_by else "what ended it is not known"


def lapse_lines(lapse: Lapse) -> tuple[StyledLine, ...]:
    """Return the lapse: when and what, then what ended it and what it is known by."""
    known = "known by CloudTrail alone" if lapse.source is LapseSource.EVENTS else "known by the records"
    return (
        (BAD if not lapse.over else ("✖ ", "$muted"), (when(lapse), "bold"), f"  {lapse.what}"),
        (("  ", ""), (" · ".join(filter(None, (ending(lapse), bounds(lapse), known))), "$muted")),
    )


def moment(at: datetime) -> str:
    """Return a moment of a record or an event, in UTC: the days of evidence are UTC's."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M}"


MOST_CHANGES = 200
_BY_EVENTS = "Events tell it, between two records: see the lapses below."


def day_lines(found: DayEvidence, standing: ComplianceStanding, today: date, width: int) -> Iterator[Line]:
    yield from _status(found, today, width)
    yield from _control(found, width)
    yield BLANK
    yield from _record(found, standing, width)
    if found.judgement is not None:
        yield BLANK
        for name, answer in found.judgement.answers:
            yield from _answer(name, answer, width)
    yield from _lapses(found, width)
    yield from _changes(found, standing, width)


def _status(found: DayEvidence, today: date, width: int) -> Iterator[Line]:
    state = _state(found, today)
    sign = CONTROL_SIGNS[state]
    judged = found.judgement
    words = judged.words if judged is not None and judged.status is found.status else state.value
    lead = f"{sign.text.strip() or '…'} "
    yield from copied_lines(words, width, lead=lead, lead_style=sign.style, style=f"bold {sign.style}")
    if found.status is not None and (judged is None or judged.status is not found.status):
        yield from copied_lines(_BY_EVENTS, width, lead="  ", style="$muted")


def _state(found: DayEvidence, today: date) -> ControlState:
    if found.status is None:
        return ControlState.GAP if found.day < today else ControlState.COMING
    return control_state(found.status, excepted=found.excepted, asked=bool(found.control.tests))


def _control(found: DayEvidence, width: int) -> Iterator[Line]:
    control = found.control
    exemption = found.judgement.exemption if found.judgement is not None else None
    for name, text in (
        ("standard", f"{control.framework.title} {control.framework.edition}"),
        ("control", f"{control.number} {control.title}"),
        ("question", control.question),
        ("owner", control.owner),
        ("limit", control.limit),
        ("exception", f"{exemption.words} (granted by {exemption.by})" if exemption is not None else ""),
    ):
        if text:
            yield from _fact(name, text, width)


def _fact(name: str, text: str, width: int, *, style: str = "") -> Iterator[Line]:
    return copied_lines(text, width, lead=fit(name, NAME_CELLS), lead_style="$muted", style=style)


def _record(found: DayEvidence, standing: ComplianceStanding, width: int) -> Iterator[Line]:
    if standing.period is None:
        yield from _fact("record", "none yet: this is what is measured now", width, style="$warning")
        return
    record = found.record
    if record is None:
        yield from _fact("record", "none was made on this day: how the control stood is not known", width)
    else:
        at = f"{record.taken_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
        yield from _fact("record", f"{record.number}, taken {at} by {record.recorded_by}", width)
        yield from _fact("sha256", record.digest.hex(), width)
        words, style = _signature(record, standing)
        yield from _fact("signature", words, width, style=style)
        words, style = _chain(found, record)
        yield from _fact("chain", words, width, style=style)
    if found.others:
        yield from _fact("also", f"records {', '.join(map(str, found.others))} of this day", width)
    for problem in standing.period.problems:
        yield from copied_lines(problem, width, lead="✖ ", lead_style="$error")


def _signature(record: EvidenceRecord, standing: ComplianceStanding) -> tuple[str, str]:
    if record.signature is None:
        return f"none: {record.unsigned_because or 'the reason is not known'}", "$warning"
    of = f"{record.signature.algorithm} by {record.signature.key_arn}"
    unchecked = standing.period.unchecked if standing.period is not None else ""
    if unchecked:
        return f"{of}; not checked: {unchecked}", "$warning"
    return of, ""


def _chain(found: DayEvidence, record: EvidenceRecord) -> tuple[str, str]:
    if found.follows is None:
        return f"record {record.number - 1} was not read with this period", "$muted"
    if not found.follows:
        return f"broken: it does not name record {record.number - 1} as it is kept", "$error"
    if record.number == 1:
        return "the first record", ""
    return (
        f"it names record {record.number - 1} by its digest, and the journal's entry {record.journal_seq}",
        "",
    )


def _answer(name: str, answer: ControlAnswer, width: int) -> Iterator[Line]:
    sign = CONTROL_SIGNS[control_state(answer.status)]
    measures = f": {ALL_TESTS[name].measures}" if name in ALL_TESTS else ""
    yield from copied_lines(
        f"{name}{measures}", width, lead=f"{sign.text} ", lead_style=sign.style, style="bold"
    )
    for text in (answer.reason, *answer.lines):
        if text:
            yield from copied_lines(text, width, lead="  ")


def _lapses(found: DayEvidence, width: int) -> Iterator[Line]:
    if found.lapses:
        yield BLANK
        yield Line(Content.assemble(("Lapses that this day is part of", "bold")))
    for lapse in found.lapses:
        for styled in lapse_lines(lapse):
            sign = styled[0]
            text, style = (sign, "") if isinstance(sign, str) else sign
            yield from copied_lines(plain(styled[1:]), width, lead=text, lead_style=style)


def _changes(found: DayEvidence, standing: ComplianceStanding, width: int) -> Iterator[Line]:
    if standing.period is None:
        return
    yield BLANK
    title = f"Changes on {found.day:%Y-%m-%d}, UTC"
    none = "  none is known" if not found.changes else ""
    yield Line(Content.assemble((title, "bold"), (none, "$muted")))
    for change in found.changes[:MOST_CHANGES]:
        lead = f"  {moment(change.at)[11:]}  "
        yield from copied_lines(
            _change_words(change), width, lead=lead, lead_style="$muted", leads_to=_route_of(change)
        )
    if len(found.changes) > MOST_CHANGES:
        more = len(found.changes) - MOST_CHANGES
        yield Line(Content.assemble((f"  and {more:,} more: keydeck evidence pack has all", "$muted")))


def _change_words(change: ChangeFact) -> str:
    approved = f", approved by {person(change.approved_by)}" if change.approved_by else ""
    opens = f": {change.opens}" if change.opens else ""
    return (
        f"{change.what} {change.subject} by {person(change.who)}, {change.outcome}{approved}{opens}"
        f" ({change.source} {change.id})"
    )


def _route_of(change: ChangeFact) -> EventRoute | JobRoute | None:
    if change.source == "CloudTrail":
        return EventRoute(change.id)
    if change.source == "jobs" and change.id.isdecimal() and len(change.id) < 18:
        return JobRoute(int(change.id))
    return None


_LAPSES = 20
_LEAD = 2
"""Cells of a sign and what parts it from its text."""


def row_content(
    standing: ComplianceStanding, row: ControlRow, column: DayColumn, today: date, width: int, *, whole: bool
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
    standing: ComplianceStanding, row: ControlRow, column: DayColumn, evidence: DayEvidence | None
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


def _state_words(cell: GridCell, column: DayColumn) -> str:
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

"""The evidence behind a day as lines: the control, the record, each test's answer, the changes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime

from textual.content import Content

from crypto_core.compliance.answer import ControlAnswer
from crypto_core.compliance.control_tests import ALL_TESTS
from crypto_core.compliance.facts import ChangeFact
from crypto_core.compliance.period.period import Lapse, LapseSource
from crypto_core.compliance.records.record import EvidenceRecord
from screens.ages import span
from screens.compliance.day_evidence import DayEvidence
from screens.control_signs import CONTROL_SIGNS, ControlState, control_state
from screens.evidence_standing import Standing
from screens.identities import person
from screens.routes import EventRoute, JobRoute
from screens.styled import BAD, StyledLine, plain
from screens.use.lines import BLANK, NAME_CELLS
from screens.widgets.cells import fit
from screens.widgets.copied_lines import copied_lines
from screens.widgets.line_list import Line


def when(lapse: Lapse) -> str:
    first, last = moment(lapse.first_at), moment(lapse.last_at)
    if lapse.first_at == lapse.last_at:
        return first
    return f"{first} – {last} ({span(lapse.last_at - lapse.first_at)})"


def bounds(lapse: Lapse) -> str:
    """Return how far beyond that it may have reached."""
    began = f"not so on {moment(lapse.after)}" if lapse.after else "so from the beginning of the records on"
    ended = f"over by {moment(lapse.before)}" if lapse.before else "not over yet"
    return f"{began}; {ended}"


def ending(lapse: Lapse) -> str:
    if not lapse.over:
        return "still open"
    return f"ended by {lapse.ended_by}" if lapse.ended_by else "what ended it is not known"


def lapse_lines(lapse: Lapse) -> tuple[StyledLine, ...]:
    """Return the lapse: when and what, then what ended it and what it is known by."""
    known = "known by CloudTrail alone" if lapse.source is LapseSource.EVENTS else "known by the records"
    return (
        (BAD if not lapse.over else ("✖ ", "$muted"), (when(lapse), "bold"), f"  {lapse.what}"),
        (("  ", ""), (f"{ending(lapse)} · {bounds(lapse)} · {known}", "$muted")),
    )


def moment(at: datetime) -> str:
    """Return a moment of a record or an event, in UTC: the days of evidence are UTC's."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M}"


MOST_CHANGES = 200
_BY_EVENTS = "Events tell it, between two records: see the lapses below."


def day_lines(found: DayEvidence, standing: Standing, today: date, width: int) -> Iterator[Line]:
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


def _record(found: DayEvidence, standing: Standing, width: int) -> Iterator[Line]:
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
    for problem in standing.period.problems:
        yield from copied_lines(problem, width, lead="✖ ", lead_style="$error")


def _signature(record: EvidenceRecord, standing: Standing) -> tuple[str, str]:
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


def _changes(found: DayEvidence, standing: Standing, width: int) -> Iterator[Line]:
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

"""A period in words: no more than was measured, and on how many days."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime

from crypto_core.compliance.answer import ControlStatus
from crypto_core.compliance.assessment import judge
from crypto_core.compliance.facts import ChangeFact, FactKind
from crypto_core.compliance.period.period import AuditPeriod, ControlPeriod, Lapse, StatusSpan
from crypto_core.compliance.records.record import EvidenceRecord
from crypto_core.lists.tone import Tone
from crypto_core.reports.foreign_text import shown
from crypto_core.values.counts import counted
from crypto_core.values.moments import moment_utc

NO_RECORD = "no record"
LOOKS = {
    ControlStatus.MET: ("●", Tone.PLAIN),
    ControlStatus.PARTLY: ("▲", Tone.WARNING),
    ControlStatus.NOT_ASSESSED: ("?", Tone.WARNING),
    ControlStatus.NOT_MET: ("✖", Tone.BAD),
    None: ("·", Tone.QUIET),
}
_NUMBER = re.compile("[0-9]+")
_LOOKED_UP = {
    "CloudTrail": "keydeck events show {id}; aws cloudtrail lookup-events --lookup-attributes "
    "AttributeKey=EventId,AttributeValue={id}",
    "journal": "journal.jsonl, entry {id}",
    "approvals": "keydeck approvals show {id}",
    "jobs": "keydeck jobs show {id}",
}


def days_of(first: date, last: date) -> str:
    """Return from which day to which, the day once where it is one."""
    return first.isoformat() if first == last else f"{first.isoformat()} – {last.isoformat()}"


def period_words(period: AuditPeriod) -> str:
    return f"{period.since.isoformat()} to {period.until.isoformat()}"


def recorded_days(one: ControlPeriod) -> int:
    return sum(day.record > 0 for day in one.days)


def status_words(one: ControlPeriod) -> str:
    """Return what a control came to, with its days: never met throughout where a day has no record."""
    all_days, recorded = len(one.days), recorded_days(one)
    if not recorded:
        return f"not assessed: none of {counted(all_days, 'day')} has a record{_by_events(one)}"
    statuses = Counter(day.status for day in one.days if day.record)
    told = [f"{status.value} on {statuses[status]:,}" for status in ControlStatus if statuses[status]]
    if recorded == all_days and len(told) == 1:
        return f"{told[0].rpartition(' on ')[0]} on each of {counted(all_days, 'day')}{_by_events(one)}"
    told[0] = f"{told[0]} of {recorded:,} days with a record"
    gaps = all_days - recorded
    days = sum(day.excepted for day in one.days)
    excepted = f"; excepted on {days:,}" if days else ""
    missing = f"; {gaps:,} of {all_days:,} days {'has' if gaps == 1 else 'have'} no record" if gaps else ""
    return f"{', '.join(told)}{missing}{_by_events(one)}{excepted}"


def _by_events(one: ControlPeriod) -> str:
    """On how many days it was not met by CloudTrail alone, those without a record among them."""
    seen = sum(day.by_events for day in one.days)
    without = sum(day.by_events and not day.record for day in one.days)
    if not seen:
        return ""
    return f"; not met by CloudTrail alone on {counted(seen, 'day')}" + (
        f", {without:,} of them without a record" if without else ""
    )


def limit_words(one: ControlPeriod) -> str:
    control = one.control
    far = f"As far as it is about {control.as_far_as}." if control.as_far_as else ""
    return " ".join(part for part in (far, control.limit) if part)


def span_words(span: StatusSpan) -> str:
    return f"{span.status.value if span.status else NO_RECORD} {days_of(span.first, span.last)}"


def reasons_of(one: ControlPeriod, records: Sequence[EvidenceRecord]) -> tuple[str, ...]:
    """Return why a control was not assessed, each kind of reason once, by the records that decided."""
    by_number = {record.number: record for record in records}
    told: list[str] = []
    for span in one.spans:
        if span.status is ControlStatus.NOT_ASSESSED:
            day = next(day for day in one.days if day.day == span.first)
            record = by_number.get(day.record)
            told += [judge(one.control, record.snapshot).reason] if record else []
    return tuple(shown(reason) for reason in first_of_each_kind(filter(None, told)))


def first_of_each_kind(reasons: Iterable[str]) -> tuple[str, ...]:
    """Return the first of those that differ in numbers alone, such as a date, and how many others it has."""
    kinds: dict[str, dict[str, None]] = {}
    for reason in reasons:
        kinds.setdefault(_NUMBER.sub("0", reason), {})[reason] = None
    return tuple(
        f"{first} (and {counted(len(others), 'time')} more with other numbers)" if others else first
        for first, *others in kinds.values()
    )


def evidence_lines(one: ControlPeriod, records: Sequence[EvidenceRecord]) -> Iterator[str]:
    """Yield what the period's last record says of a control, test by test."""
    if not records or not one.control.tests:
        return
    for name, answer in judge(one.control, records[-1].snapshot).answers:
        first = answer.lines[0] if answer.lines else answer.reason
        yield shown(f"{name}: {answer.status.value}{f', {first}' if first else ''}")


def began(lapse: Lapse) -> str:
    """Return when a lapse began, as far as that is known."""
    if lapse.after is None:
        return f"by {moment_utc(lapse.first_at)}; before that nothing is known"
    return f"between {moment_utc(lapse.after)} and {moment_utc(lapse.first_at)}"


def ended(lapse: Lapse) -> str:
    """Return when a lapse ended, as far as that is known."""
    if lapse.before is None:
        return f"not over at {moment_utc(lapse.last_at)}, the last that is known"
    return f"between {moment_utc(lapse.last_at)} and {moment_utc(lapse.before)}"


def day_count(period: AuditPeriod) -> int:
    """Return how many days there are, without those still to come when it was made."""
    return len({record.day for record in period.records}) + len(period.gaps)


def looked_up(change: ChangeFact) -> str:
    return _LOOKED_UP.get(change.source, "{id}").format(id=change.id)


def population(changes: Sequence[ChangeFact]) -> tuple[tuple[FactKind, int], ...]:
    """Return how many changes there are of each kind, those that there are none of included."""
    counts = Counter(change.kind for change in changes)
    return tuple((kind, counts[kind]) for kind in FactKind)


def age_days(since: datetime | None, at: datetime) -> int | None:
    return (at - since).days if since else None

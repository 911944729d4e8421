"""What the period came to: per control, day by day, and what fell short."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from itertools import groupby

from crypto_core.compliance.answer import ControlStatus
from crypto_core.compliance.pack import words
from crypto_core.compliance.pack.context import PackContext
from crypto_core.compliance.period.period import AuditPeriod, ControlDay, ControlPeriod, Lapse
from crypto_core.lists.tone import Tone
from crypto_core.reports.cells import Cell, CellValue, ShownSection, TextLook, at_time, code, facts, table
from crypto_core.reports.heat_map import HeatLook, HeatMap, HeatRow, HeatRun
from crypto_core.reports.words import moment_utc

_LEGEND = (
    (HeatLook.GOOD, "met as far as measured"),
    (HeatLook.PARTLY, "partly met"),
    (HeatLook.OPEN, "not assessed"),
    (HeatLook.BAD, "not met"),
    (HeatLook.EXCEPTED, "not met, excepted"),
    (HeatLook.GAP, "no record"),
)
_LAPSE = "What was wrong|Began, and by what|Ended, and by what|Known by|Controls"
_MOST_SPANS = 40
_LABEL = 36
_LONG = 62
"""Days from which months stand above a map, instead of days."""


def summary(period: AuditPeriod, context: PackContext) -> ShownSection:
    """Return what the document is about."""
    days = words.day_count(period)
    recorded = days - len(period.gaps)
    records = period.records
    span = f"{records[0].number:,} to {records[-1].number:,}" if records else "none"
    return ShownSection(
        "summary",
        "Summary",
        lead=(
            "Keydeck measured this day by day. Each statement goes only as far as it says, and only for days "
            "with a record; nothing is said of days without one."
        ),
        facts=facts(
            ("Period", words.days_of(period.since, period.until)),
            ("Controls of", period.framework or "all catalogues"),
            ("Days with a record", f"{recorded:,} of {days:,}"),
            ("Days without", Cell(", ".join(_gap_runs(period)) or "none")),
            ("Records", Cell(f"{len(records):,}", more=(f"numbers {span}",))),
            ("Database", code(context.database_id)),
            (
                "Made",
                Cell(moment_utc(context.made_at), more=(f"Keydeck {context.version}", context.made_by)),
            ),
            ("Records' signatures", period.unchecked and f"not checked: {period.unchecked}"),
            ("Records without", f"{len(period.unsigned):,}" if period.unsigned else ""),
        ),
        tables=(
            table(
                "What is wrong with the records themselves",
                "Problem",
                ((Cell(one, Tone.BAD),) for one in period.problems),
                "Nothing was found: the chain is whole.",
            ),
        ),
    )


def _gap_runs(period: AuditPeriod) -> Iterator[str]:
    numbered = enumerate(sorted(period.gaps))
    for _, run in groupby(numbered, key=lambda one: one[1] - timedelta(days=one[0])):
        days = [day for _, day in run]
        yield words.days_of(days[0], days[-1])


def day_maps(period: AuditPeriod) -> ShownSection:
    """Return the days across, controls down, one map a framework; the worst controls first."""
    return ShownSection(
        "days",
        "Day by day",
        lead="What each control came to on each day. The section behind says the same in words.",
        maps=tuple(_map(title, controls, period) for title, controls in _by_standard(period)),
    )


def _by_standard(period: AuditPeriod) -> Iterator[tuple[str, tuple[ControlPeriod, ...]]]:
    ordered = sorted(period.controls, key=_standard)
    for title, theirs in groupby(ordered, key=_standard):
        yield title, tuple(sorted(theirs, key=_worst_first))


def _standard(one: ControlPeriod) -> str:
    return f"{one.control.framework.title} {one.control.framework.edition}".strip()


def _worst_first(one: ControlPeriod) -> tuple[int, int]:
    worst = one.worst.rank if one.worst else len(ControlStatus)
    return worst, -one.count(one.worst)


def _map(title: str, controls: tuple[ControlPeriod, ...], period: AuditPeriod) -> HeatMap:
    days = words.day_count(period)
    return HeatMap(title, days, tuple(_ticks(period, days)), tuple(map(_row, controls)), _LEGEND)


def _ticks(period: AuditPeriod, days: int) -> Iterator[tuple[int, str]]:
    for offset in range(days):
        day = period.since + timedelta(days=offset)
        if days > _LONG and day.day == 1:
            yield offset, f"{day:%b %Y}" if day.month == 1 or offset < 31 else f"{day:%b}"
        elif days <= _LONG and offset % 7 == 0:
            yield offset, f"{day:%d %b}"


def _kind(day: ControlDay) -> tuple[ControlStatus | None, bool, bool]:
    return day.status, day.excepted, day.by_events


def _row(one: ControlPeriod) -> HeatRow:
    label = f"{one.control.number} {one.control.title}"
    label = label if len(label) <= _LABEL else f"{label[: _LABEL - 1]}…"
    runs: list[HeatRun] = []
    place = 0
    for (status, excepted, by_events), run in groupby(one.days, key=_kind):
        days = list(run)
        excused = excepted and status is ControlStatus.NOT_MET
        look = HeatLook.EXCEPTED if excused else words.LOOKS[status]
        said = f"{status.value if status else 'no record'}{', excepted' if excused else ''}"
        said += ", by CloudTrail alone" if by_events else ""
        title = f"{said} {words.days_of(days[0].day, days[-1].day)}"
        runs.append(HeatRun(place, len(days), look, title))
        place += len(days)
    return HeatRow(label, tuple(runs))


def controls(period: AuditPeriod) -> ShownSection:
    """Return each control with its question, its days, and how far the answer goes."""
    return ShownSection(
        "controls",
        "Controls",
        lead="The questions are Keydeck's, in its own words; the numbers are the standard's.",
        tables=tuple(
            table(
                title,
                "Control|Over the period|From when to when|How far, and by what",
                (_control_row(one, period) for one in theirs),
            )
            for title, theirs in _by_standard(period)
        ),
    )


def _control_row(one: ControlPeriod, period: AuditPeriod) -> tuple[CellValue, ...]:
    control = one.control
    look = words.LOOKS[one.worst]
    spans = [words.span_words(span) for span in one.spans]
    more = len(spans) - _MOST_SPANS
    return (
        (
            f"{control.number} {control.title}",
            control.question,
            f"Owner: {control.owner}" if control.owner else "",
        ),
        Cell(
            f"{look.sign} {words.status_words(one)}",
            Tone.PLAIN if look.tone is Tone.GOOD else look.tone,
            more=(
                *(f"Not assessed: {reason}" for reason in words.reasons_of(one, period.records)),
                *(f"Exception, {e.words}, by {e.by}" for e in one.exemptions),
            ),
        ),
        ("", *spans[:_MOST_SPANS], f"and {more:,} more in controls.csv" if more > 0 else ""),
        (
            words.limit_words(one),
            control.outside,
            *(f"Last record: {line}" for line in words.evidence_lines(one, period.records)),
        ),
    )


def lapses(period: AuditPeriod) -> ShownSection:
    """Return what was not met for a while, each cause once."""
    return ShownSection(
        "lapses",
        "Lapses",
        lead=(
            "What was not as it must be, from when to when, and what ended it. A lapse that began and ended "
            "between two records is known by CloudTrail alone, and seen only where its events were fetched."
        ),
        tables=(
            table(
                "Lapses in the period",
                _LAPSE,
                map(_lapse_row, period.lapses),
                "No lapse is known.",
            ),
            table(
                "Seen in events, and explained by an operation on record",
                _LAPSE,
                map(_lapse_row, period.explained),
            ),
        ),
    )


def _lapse_row(one: Lapse) -> tuple[CellValue, ...]:
    excepted = "excepted for all of its time" if one.excepted else ""
    return (
        Cell(one.what, Tone.WARNING if one.excepted else Tone.BAD, more=(excepted, one.cause, *one.remarks)),
        Cell(words.began(one), look=TextLook.TIME, more=(one.began_by or "nothing tells by what",)),
        Cell(
            words.ended(one),
            look=TextLook.TIME,
            more=(one.ended_by or ("nothing tells by what" if one.over else ""),),
        ),
        (one.source.value, _records(one.records)),
        ", ".join(f"{c.framework.title} {c.number}" for c in one.controls),
    )


def _records(numbers: tuple[int, ...]) -> str:
    if not numbers:
        return "no record shows it"
    return f"records {numbers[0]:,} – {numbers[-1]:,}" if numbers[1:] else f"record {numbers[0]:,}"


def exceptions(period: AuditPeriod) -> ShownSection:
    """Return what was excepted, by whom and until when."""
    known = {one.control.id: one.control for one in period.controls}
    return ShownSection(
        "exceptions",
        "Exceptions",
        tables=(
            table(
                "Exceptions from controls",
                "Control|Reason|Granted by|Until",
                (
                    (
                        (known[e.control].number if e.control in known else e.control, e.control),
                        e.reason,
                        e.by,
                        at_time(e.until.isoformat()),
                    )
                    for e in period.exemptions
                ),
            ),
        ),
    )


def counts(period: AuditPeriod) -> dict[ControlStatus | None, int]:
    """Return how many controls have each status as their worst; None for those without any record."""
    return {status: sum(one.worst is status for one in period.controls) for status in (*ControlStatus, None)}

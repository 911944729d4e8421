"""What the period came to: per control, day by day, and what fell short."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby, starmap

from crypto_core.compliance.answer import ControlStatus
from crypto_core.compliance.pack import words
from crypto_core.compliance.pack.context import PackContext
from crypto_core.compliance.period.period import AuditPeriod, ControlPeriod, Lapse, runs_of
from crypto_core.lists.tone import Tone
from crypto_core.reports.cells import Cell, CellValue, ShownSection, TextLook, code, facts, table
from crypto_core.reports.words import moment_utc

_LAPSE = "What was wrong|Began, and by what|Ended, and by what|Known by|Controls"
_MOST_SPANS = 40


def summary(period: AuditPeriod, context: PackContext) -> ShownSection:
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
            ("Days without", Cell(", ".join(starmap(words.days_of, runs_of(period.gaps))) or "none")),
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


def _by_standard(period: AuditPeriod) -> Iterator[tuple[str, tuple[ControlPeriod, ...]]]:
    ordered = sorted(period.controls, key=_standard)
    for title, theirs in groupby(ordered, key=_standard):
        yield title, tuple(sorted(theirs, key=_worst_first))


def _standard(one: ControlPeriod) -> str:
    return f"{one.control.framework.title} {one.control.framework.edition}".strip()


def _worst_first(one: ControlPeriod) -> tuple[int, int]:
    worst = one.worst.rank if one.worst else len(ControlStatus)
    return worst, -one.count(one.worst)


def controls(period: AuditPeriod) -> ShownSection:
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
    sign, tone = words.LOOKS[one.worst]
    spans = [words.span_words(span) for span in one.spans]
    more = len(spans) - _MOST_SPANS
    return (
        (
            f"{control.number} {control.title}",
            control.question,
            f"Owner: {control.owner}" if control.owner else "",
        ),
        Cell(
            f"{sign} {words.status_words(one)}",
            tone,
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


def counts(period: AuditPeriod) -> dict[ControlStatus | None, int]:
    """Return how many controls have each status as their worst; None for those without any record."""
    return {status: sum(one.worst is status for one in period.controls) for status in (*ControlStatus, None)}

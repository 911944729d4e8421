"""The heat map's columns, rows and cells."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from crypto_core.compliance.answer import ControlStatus
from crypto_core.compliance.period.period import ControlDay, ControlPeriod
from crypto_core.values.errors import InvalidFilterError
from screens.compliance import grid
from screens.compliance.grid import CONTROL_SIGNS, ControlState, control_state
from screens.compliance.screen import chosen, named
from tests.screens.compliance.stage import GAPS, OFF_SINCE, TODAY, library, sample_period

DAY = timedelta(days=1)
NOW = datetime(2026, 7, 1, 23, 30, tzinfo=UTC).astimezone()
SINCE = TODAY - 89 * DAY


def period(*statuses: ControlStatus | None, outside: bool = False) -> ControlPeriod:
    control = next(one for one in library().controls if bool(one.tests) is not outside)
    days = tuple(ControlDay(SINCE + at * DAY, status) for at, status in enumerate(statuses))
    return ControlPeriod(control, days, ())


def test_every_state_has_a_sign_of_its_own_and_only_what_is_met_is_green() -> None:
    texts = [CONTROL_SIGNS[state].text for state in ControlState]
    assert len(set(texts)) == len(texts)
    assert [state for state in ControlState if "success" in CONTROL_SIGNS[state].style] == [ControlState.MET]
    assert {control_state(status) for status in ControlStatus} < set(ControlState)
    assert control_state(ControlStatus.NOT_ASSESSED, asked=False) is ControlState.OUTSIDE
    assert control_state(ControlStatus.NOT_MET, excepted=True) is ControlState.EXCEPTED


@pytest.mark.parametrize("zoom", grid.Zoom)
@pytest.mark.parametrize("days", [1, 2, 31, 400])
def test_columns_have_each_day_once(zoom: grid.Zoom, days: int) -> None:
    until = SINCE + (days - 1) * DAY
    columns = grid.columns_of(SINCE, until, zoom)
    shown = [day for c in columns for day in range(c.first.toordinal(), c.last.toordinal() + 1)]
    assert shown == list(range(SINCE.toordinal(), until.toordinal() + 1))
    for day in (SINCE, until, SINCE + (days // 2) * DAY):
        column = columns[grid.column_at(columns, day)]
        assert column.first <= day <= column.last
    if zoom is grid.Zoom.WEEK:
        assert all(column.first.weekday() == 0 for column in columns[1:])
    if zoom is grid.Zoom.MONTH:
        assert all(column.first.day == 1 for column in columns[1:])


def test_a_column_is_the_worst_of_its_days_and_says_that_one_has_no_record() -> None:
    row = grid.control_row(
        period(ControlStatus.MET, None, ControlStatus.NOT_MET, ControlStatus.PARTLY, None, None), TODAY
    )
    week = grid.DayColumn(SINCE, SINCE + 3 * DAY)
    assert row.cell(week) == (ControlState.NOT_MET, True)
    assert row.worst_day(week) == SINCE + 2 * DAY
    assert row.cell(grid.DayColumn(SINCE, SINCE)) == (ControlState.MET, False)
    assert row.cell(grid.DayColumn(SINCE + 4 * DAY, SINCE + 5 * DAY)) == (ControlState.GAP, True)
    assert (row.latest, row.worst, row.wrong) == (ControlState.PARTLY, ControlState.NOT_MET, True)


def test_a_day_that_is_not_over_is_no_gap() -> None:
    row = grid.control_row(period(ControlStatus.MET, None, None), SINCE + 2 * DAY)
    assert row.states == (ControlState.MET, ControlState.GAP, ControlState.COMING)
    assert grid.control_row(period(ControlStatus.NOT_ASSESSED, outside=True), TODAY).wrong is False


def test_rows_are_by_framework_the_worst_first_and_what_nobody_can_say_last() -> None:
    found = sample_period(SINCE, TODAY)
    rows = grid.rows_of(found.controls, TODAY)
    assert grid.frameworks_of(rows) == ("iso", "pci", "soc2")
    pci = [row for row in rows if row.control.framework.id == "pci"]
    ranks = [row.worst.rank for row in pci]
    assert ranks == sorted(ranks)
    assert pci[0].worst is ControlState.NOT_MET
    assert pci[-1].worst is ControlState.OUTSIDE
    shown = grid.shown_rows(rows, "pci", only_wrong=True)
    assert isinstance(shown[0], grid.FrameworkRow)
    assert sum(number for _, number in shown[0].counts) == len(pci)
    assert [row for row in shown[1:] if isinstance(row, grid.FrameworkRow) or not row.wrong] == []
    assert grid.shown_rows(rows, "house", only_wrong=False) == ()


def test_the_sample_has_what_the_screens_are_tried_with() -> None:
    found = sample_period(SINCE, TODAY)
    states = {state for row in grid.rows_of(found.controls, TODAY) for state in row.states}
    assert states == set(ControlState) - {ControlState.COMING, ControlState.PARTLY}
    assert OFF_SINCE > SINCE
    assert set(found.gaps) == GAPS


@pytest.mark.parametrize(
    ("words", "days"),
    [
        ("30d", (TODAY - 29 * DAY, TODAY)),
        ("1y", (TODAY - 364 * DAY, TODAY)),
        ("2026-01-01 2026-03-31", (date(2026, 1, 1), date(2026, 3, 31))),
        ("2026-01-01..2026-03-31", (date(2026, 1, 1), date(2026, 3, 31))),
        ("2026-06-01", (date(2026, 6, 1), TODAY)),
        ("2w", (TODAY - 14 * DAY, TODAY)),
    ],
)
def test_a_period_is_named_by_its_length_or_by_dates(words: str, days: tuple[date, date]) -> None:
    assert chosen(words, NOW).on(TODAY) == days


@pytest.mark.parametrize(
    "words",
    ["x", "2026-13-01", "2026-06-02 2026-06-01", "1900-01-01", '"', "[/red]", "9" * 5_000, "0001-01-01"],
)
def test_what_is_no_period_is_refused_with_how_to_write_one(words: str) -> None:
    with pytest.raises(InvalidFilterError) as refused:
        chosen(words, NOW)
    assert "2026-01-01 2026-06-30" in refused.value.remedy
    assert len(str(refused.value)) < 200


def test_one_key_goes_through_the_lengths() -> None:
    assert [named("30d").next().words, named("1y").next().words] == ["90d", "30d"]
    assert chosen("2026-01-01", NOW).next().words == "30d"


def test_the_months_and_the_mondays_are_named() -> None:
    days = grid.columns_of(date(2025, 12, 29), date(2026, 1, 5), grid.Zoom.DAY)
    labels = [
        grid.label_of(one, before, grid.Zoom.DAY) for before, one in zip((None, *days), days, strict=False)
    ]
    assert labels[0] == ("Dec 2025", "29")
    assert labels[3] == ("Jan 2026", "")
    assert labels[7] == ("", "5")

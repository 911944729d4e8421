"""Text and bars that fit their cells."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from textual.content import Content

from screens.moments import ago, calmly_ago, day, span
from screens.widgets.cells import bar, columns, cut, fit, fit_middle, percent, spread


@given(st.text(), st.integers(0, 60))
def test_fitted_text_is_exactly_as_wide_as_asked(text: str, width: int) -> None:
    assert cell_len(fit(text, width)) == width
    assert cell_len(fit(text, width, right=True)) == width
    assert cell_len(fit_middle(text, width)) == width
    assert cell_len(cut(text, width)) <= width


def test_text_cut_in_its_middle_keeps_its_end() -> None:
    cut_text = fit_middle("confluence_connection.access_token:4711", 30)
    assert cut_text.startswith("confluence_c")
    assert cut_text.endswith("access_token:4711")


@pytest.mark.parametrize(
    ("share", "drawn"),
    [(0, "    "), (0.001, "▏   "), (0.5, "██  "), (0.53, "██▏ "), (0.999, "███▉"), (1, "████"), (7, "████")],
)
def test_bars_grow_by_eighths_and_only_the_whole_is_full(share: float, drawn: str) -> None:
    assert bar(share, 4) == drawn


def test_columns_are_as_high_as_their_share_and_what_is_there_is_seen() -> None:
    assert columns([0, 1, 50, 100], "·") == "·▁▄█"
    assert columns([0, 0]) == "▁▁"


@pytest.mark.parametrize(
    ("part", "whole", "words"),
    [(0, 0, "- %"), (0, 9, "0.0 %"), (1, 100_000, "0.1 %"), (99_999, 100_000, "99.9 %"), (9, 9, "100 %")],
)
def test_percentages_never_round_a_gap_away(part: int, whole: int, words: str) -> None:
    assert percent(part, whole) == words


@given(st.text(max_size=60), st.text(max_size=60), st.integers(1, 80))
def test_two_ends_of_a_line_are_exactly_as_wide_as_the_line(left: str, right: str, width: int) -> None:
    line = spread(Content(fit(left, cell_len(left))), Content(fit(right, cell_len(right))), width)
    assert line.cell_length <= width


@pytest.mark.parametrize(
    ("passed", "words"),
    [
        (timedelta(0), "0 s"),
        (timedelta(seconds=59), "59 s"),
        (timedelta(minutes=5), "5 min"),
        (timedelta(hours=26), "1 d"),
        (timedelta(days=41), "41 d"),
        (timedelta(days=200), "6 mo"),
        (timedelta(days=900), "2 y"),
    ],
)
def test_durations_are_told_in_one_unit(passed: timedelta, words: str) -> None:
    assert span(passed) == words


def test_moments_to_come_and_moments_past_are_told_apart() -> None:
    now = datetime(2026, 7, 1, tzinfo=UTC)
    assert ago(now - timedelta(days=3), now) == "3 d ago"
    assert ago(now + timedelta(days=3), now) == "in 3 d"
    assert ago(now, now) == "now"
    assert day(now - timedelta(days=365), now) == "1 Jul 2025"


def test_what_grows_while_it_is_seen_goes_in_steps() -> None:
    now = datetime(2026, 7, 1, tzinfo=UTC)
    told = [calmly_ago(now - timedelta(seconds=passed), now) for passed in (0, 4.9, 5, 59.9, 60, 61, -3)]
    assert told == ["now", "now", "5 s ago", "55 s ago", "1 min ago", "1 min ago", "in 3 s"]

"""Rates and remaining times are those that were seen, and nothing is said before something was."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from console.printed.output import Meter, bar
from console.printed.pace import Pace, pace_words


def paces(*seen: tuple[float, int]) -> list[float | None]:
    times: Iterator[float] = iter([second for second, _ in seen])
    pace = Pace(lambda: next(times))
    return [pace.per_second(done) for _, done in seen]


def test_what_was_done_before_it_was_first_seen_is_no_pace() -> None:
    assert paces((0, 412_000), (1, 412_100), (4, 412_400), (10, 413_000)) == [None, None, 100, 100]


def test_nothing_is_said_while_nothing_moves() -> None:
    assert paces((0, 5), (60, 5), (600, 5)) == [None, None, None]


def test_the_last_minute_counts_alone() -> None:
    fast = [(float(second), 1_000 * second) for second in range(0, 101, 10)]
    slow = [(100.0 + second, 100_000 + second) for second in range(10, 101, 10)]
    found = paces(*fast, *slow)
    assert found[10] == 1_000
    assert found[-1] == pytest.approx(1, rel=0.01)


@pytest.mark.parametrize(
    ("done", "total", "per_second", "unit", "words"),
    [
        (10, 100, None, "", ""),
        (10, 100, 0.0, "", ""),
        (10, 100, 0.5, "files", "0.5 files/s, about 3 min left"),
        (400_000, 1_000_000, 1_234.5, "", "1,234/s, about 8 min left"),
        (100, 100, 50.0, "", "50/s"),
    ],
)
def test_a_rate_and_the_rest_in_words(
    done: int, total: int, per_second: float | None, unit: str, words: str
) -> None:
    assert pace_words(done, total, per_second, unit) == words


def test_a_meter_claims_no_rate_that_nobody_measured(capsys: pytest.CaptureFixture[str]) -> None:
    drawn: list[tuple[int, int, str]] = []
    meter = Meter("rewrap", lambda *shown: drawn.append(shown))
    meter.show(1, 10)
    meter.show(5, 10, 2.0)
    assert drawn == [(1, 10, ""), (5, 10, "2.0/s, about 2 s left")]
    Meter("rewrap").show(5, 10)
    Meter("rewrap").show(5, 10, 200.0)
    assert capsys.readouterr().err.splitlines() == ["rewrap: 5 of 10", "rewrap: 5 of 10, 200 tokens/s"]


def test_a_bar_begins_with_the_first_word_and_one_that_stops_ends_with_the_last(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    hides, shows = "\x1b[?25l", "\x1b[?25h"  # the cursor
    for stops in (True, False):
        with bar("counting", stops=stops) as draw:
            assert capsys.readouterr().err == ""
            draw(1, 3, "pages")
            assert hides in capsys.readouterr().err
            draw(3, 3, "pages")
            assert (shows in capsys.readouterr().err) is stops
        assert (shows in capsys.readouterr().err) is not stops
        draw(2, 3, "pages, told too late")
        assert capsys.readouterr().err == ""

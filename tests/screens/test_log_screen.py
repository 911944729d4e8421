"""Log: what happened to the console's calls?"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from crypto_core.log.logbook import Recent
from crypto_core.values.clean_text import clean
from tests.screens.deck import LARGE, SMALL, Deck, deck
from tests.screens.hostile import EACH_TEXT, assert_harmless
from tests.screens.samples import NOW
from tests.screens.stage import Stage


class Book(Recent):
    path: Path | None = None
    trouble = ""


def book(lines: int = 0) -> Book:
    kept = Book()
    levels = (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR)
    for n in range(lines):
        kept.add(NOW + timedelta(seconds=n), levels[n % 4], f"crypto_core.part{n % 3}", f"message {n}")
    return kept


def say(kept: Book, message: str, level: int = logging.INFO) -> None:
    kept.add(NOW + timedelta(hours=1), level, "crypto_core.aws.kms", message)


@asynccontextmanager
async def log(kept: Book | None, size: tuple[int, int] = LARGE) -> AsyncIterator[Deck]:
    async with deck(Stage(), start="log", size=size, log=kept) as d:
        yield d


async def test_the_newest_line_comes_first_with_its_level_as_sign_and_word() -> None:
    async with log(book(40)) as d:
        first = d.cursor_line()
        assert "✖ 12:00:39 +0000" in first
        assert "error" in first
        assert "message 39" in first
        assert "▲" in d.line_with("message 38")
        assert "warning" in d.line_with("message 38")
        assert "1 of 40 lines" in d.lines()[1]


async def test_the_whole_line_under_the_cursor_is_shown_below() -> None:
    kept = book(3)
    say(kept, "The beginning " + "and so on " * 40 + "and the end.")
    async with log(kept) as d:
        assert "The beginning" in d.says()
        assert "and the end." in d.says()
        assert "crypto_core.aws.kms" in d.says()
        await d.press("down")
        assert "message 2" in d.says()
        assert "and the end." not in d.says()


async def test_following_stays_at_the_newest_line_and_f_stops_and_goes_on() -> None:
    kept = book(5)
    async with log(kept) as d:
        assert "following" in d.lines()[1]
        say(kept, "newer")
        await d.tick(2)
        assert "newer" in d.cursor_line()
        await d.press("f")
        assert "following" not in d.lines()[1]
        say(kept, "newest")
        await d.tick(2)
        assert "newer" in d.cursor_line()
        assert "newest" in d.text()
        await d.press("f")
        assert "following" in d.lines()[1]
        assert "newest" in d.cursor_line()


async def test_not_following_the_cursor_stays_on_its_line_though_others_come() -> None:
    kept = book(50)
    async with log(kept) as d:
        await d.press("f", "down", "down", "down")
        before = d.cursor_line()
        for n in range(30):
            say(kept, f"more {n}")
        await d.tick(2)
        assert d.cursor_line() == before


@pytest.mark.deep
async def test_lines_are_filtered_by_level_and_words() -> None:
    async with log(book(40)) as d:
        await d.filter("level:warning,error")
        assert "1 of 20 lines" in d.lines()[1]
        await d.filter("level:error -logger:*part0")
        assert all("message" in line for line in d.lines()[3:5])
        assert "crypto_core.part0" not in d.says()
        await d.filter('"message 17"')
        assert "1 of 1 line" in d.lines()[1]
        await d.filter("at:2026-07-01")
        assert "1 of 40 lines" in d.lines()[1]


async def test_where_the_log_is_written_is_said_and_trouble_with_that_too(tmp_path: Path) -> None:
    kept = book(1)
    async with log(kept) as d:
        assert "Not written to a file." in d.says()
        kept.path = tmp_path / "keydeck.log"
        await d.press("r", "down")
        await d.press("f")
        assert f"Written to {tmp_path}" in "".join(d.says().split("\n"))
        kept.trouble = "The log file can't be written: No space left on device."
        await d.press("f")
        assert "No space left on device." in d.says()


async def test_without_a_log_the_screen_says_that_nothing_happened() -> None:
    async with log(None) as d:
        assert "Nothing has been logged yet." in d.text()


@pytest.mark.deep
async def test_a_refused_call_is_in_the_log_of_the_console() -> None:
    kept = book(0)

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            kept.add(NOW, record.levelno, record.name, record.getMessage())

    handler = Handler()
    logger = logging.getLogger("screens")
    logger.addHandler(handler)
    try:
        async with log(kept) as d:
            d.stage.faults["status"] = ValueError("x")
            await d.press("1", "r", "9")
            await d.tick(2)
            assert "A call failed unexpectedly: ValueError" in d.text()
    finally:
        logger.removeHandler(handler)


@EACH_TEXT
async def test_hostile_lines_are_inert(text: str) -> None:
    kept = book(0)
    for _ in range(3):
        kept.add(NOW, logging.ERROR, clean(text), clean(text))
    async with log(kept, SMALL) as d:
        assert_harmless(d, SMALL)
        await d.press("y", "Y")
        assert "\x1b" not in d.app.clipboard
        assert_harmless(d, SMALL)

"""Text from outside, made safe to show."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_core.values.clean_text import DEFAULT_LIMIT, clean

DROPPED = {"Cc", "Cf", "Cs", "Zl", "Zp"}
ANY_TEXT = st.text(st.characters(exclude_categories=()))


def of_category(category: str) -> list[str]:
    return [c for c in map(chr, range(0x110000)) if unicodedata.category(c) == category]


@pytest.mark.parametrize("category", ["Cc", "Cf", "Cs"])
def test_every_character_of_a_dropped_category_is_gone(category: str) -> None:
    for character in of_category(category):
        assert clean(f"a{character}b") in ("ab", "a b")
        assert character not in clean(character)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]52;c;ZXZpbA==\x07evil", "]52;c;ZXZpbA==evil"),
        ("\x1b[2J\x1b[31mred\x9b0m", "[2J[31mred0m"),
        ("invoice\u202egpj.exe", "invoicegpj.exe"),
        ("\u2066left\u2069\u200f\u200e", "left"),
        ("pay\u200bpal\u200c\u200d\ufeff\u2060", "paypal"),
        ("soft\u00adhyphen", "softhyphen"),
        ("tag\U000e0041\U000e007f", "tag"),
        ("nul\0byte", "nulbyte"),
        ("half \ud83d of a pair", "half  of a pair"),
        ("del\x7f", "del"),
    ],
)
def test_terminal_sequences_bidi_and_invisible_characters_are_dropped(text: str, shown: str) -> None:
    assert clean(text) == shown


@pytest.mark.parametrize(
    "line_break", ["\n", "\r", "\r\n", "\n\n\n", "\t", "\v", "\f", "\x85", "\u2028", "\u2029", "\r\n\t\n"]
)
def test_a_run_of_line_breaks_and_tabs_becomes_one_space(line_break: str) -> None:
    assert clean(f"first{line_break}second") == "first second"


def test_what_is_printable_stays_as_it_is() -> None:
    text = "arn:aws:kms:eu-west-1:123456789012:key/… Ærøskøbing 東京 🔑 [bold]not markup[/]"
    assert clean(text) == text


def test_nothing_is_shown_for_none_and_other_objects_are_shown_as_text() -> None:
    assert clean(None) == ""
    assert clean("") == ""
    assert clean(42) == "42"
    assert clean(ValueError("bad\nthing")) == "bad thing"


def test_a_text_at_the_limit_is_whole_and_a_longer_one_ends_in_an_ellipsis() -> None:
    assert clean("x" * DEFAULT_LIMIT) == "x" * DEFAULT_LIMIT
    assert clean("x" * (DEFAULT_LIMIT + 1)) == "x" * (DEFAULT_LIMIT - 1) + "…"
    assert clean("abcdef", 6) == "abcdef"
    assert clean("abcdef", 5) == "abcd…"
    assert clean("abcdef", 1) == "…"
    assert clean("abcdef", 0) == ""


def test_characters_that_are_dropped_do_not_count_against_the_limit() -> None:
    assert clean("\u200b".join("abcdef"), 6) == "abcdef"


def test_of_ten_megabytes_only_the_head_is_cleaned(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at = 0
    category = unicodedata.category

    def counted(character: str) -> str:
        nonlocal looked_at
        looked_at += 1
        return category(character)

    monkeypatch.setattr("crypto_core.values.clean_text.unicodedata.category", counted)
    shown = clean("é\x1b" * 5_000_000, 100)
    assert shown == "é" * 99 + "…"
    assert looked_at == 1600


def test_ten_megabytes_of_invisible_characters_are_told_by_the_ellipsis() -> None:
    assert clean("\u200b" * 10_000_000, 100) == "…"


@given(text=ANY_TEXT, limit=st.integers(0, 80))
def test_cleaned_text_is_one_line_of_allowed_characters_within_the_limit(text: str, limit: int) -> None:
    shown = clean(text, limit)
    assert len(shown) <= limit
    assert not {unicodedata.category(c) for c in shown} & DROPPED
    assert len(shown.splitlines()) <= 1
    shown.encode()


@given(text=ANY_TEXT, limit=st.integers(1, 80))
def test_cleaning_twice_changes_nothing(text: str, limit: int) -> None:
    once = clean(text, limit)
    assert clean(once, limit) == once


@given(text=st.text(st.characters(exclude_categories=sorted(DROPPED)), max_size=60))
def test_text_without_dropped_characters_is_kept_whole(text: str) -> None:
    assert clean(text, 60) == text

"""Regular expressions of filters: one dialect, in linear time, whoever matches them."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from crypto_core.lists.regular_expression import Pattern, PatternError, _compiled, pattern

pieces = st.recursive(
    st.sampled_from(
        ["a", "B", "é", "-", r"\.", ".", r"\d", r"\W", r"\s", "[ab-d]", "[^a1]", r"[\d\-]", "^", "$"]
    ),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map("".join),
        st.lists(inner, min_size=1, max_size=3).map(lambda several: f"({'|'.join(several)})"),
        st.tuples(inner.filter(lambda one: one[-1] not in "^$"), st.sampled_from("*+?")).map(
            lambda pair: f"({pair[0]}){pair[1]}"
        ),
        st.sampled_from(["a{2}", "b{0,2}", r"\d{1,}", "[ab]{1,3}"]),
    ),
    max_leaves=6,
)
"""Expressions of the dialect."""

texts = st.text("aAbBcC1-. é\n", max_size=12)


@given(pieces, texts)
@example("^a|b$", "xb")
@example("a.b", "a\nb")
@example("[^a]", "\n")
@example("É", "é")
def test_it_matches_what_python_s_own_would(written: str, text: str) -> None:
    same = written.lower().replace("$", r"\Z").replace(r"\w", r"\W")
    meant = re.search(same, text.lower(), re.DOTALL | re.ASCII)
    assert pattern(written).is_in(text) is (meant is not None)


@pytest.mark.parametrize(
    ("written", "at", "said"),
    [
        ("", 0, "is missing"),
        ("a" * 301, 300, "at most 300"),
        (r"(a)\1", 4, "not known here"),
        ("a(?=b)", 1, "only groups"),
        ("(?i)a", 0, "only groups"),
        ("(?P<x>a)", 0, "only groups"),
        (r"\bword", 1, "not known here"),
        (r"\pL", 1, "not known here"),
        ("a\\", 1, "not known here"),
        ("*a", 0, "Nothing that"),
        ("a**", 2, "Nothing that"),
        ("a*?", 2, "Nothing that"),
        ("a++", 2, "Nothing that"),
        ("^*", 1, "Nothing that"),
        ("(|*a)", 2, "Nothing that"),
        ("(ab){2}", 4, "not a group"),
        ("a{201}", 1, "at most 200"),
        ("a{150}b{150}", 7, "at most 200"),
        ("a{3,2}", 1, "less to more"),
        ("a{x}", 1, "written"),
        ("a{,2}", 1, "written"),
        ("(a", 0, "not closed"),
        ("a)", 1, "closes none"),
        ("(" * 21, 20, "More than 20"),
        ("[a", 0, "not closed"),
        ("[]", 0, "Nothing stands"),
        ("[[:alpha:]]", 1, "Within"),
        ("[z-a]", 1, "range"),
        ("[a-é]", 1, "range"),
        (r"[\D]", 1, "only"),
        ("a]", 1, "written"),
        ("***=a", 0, "Nothing that"),
    ],
)
def test_what_is_not_of_the_dialect_is_refused_at_its_character(written: str, at: int, said: str) -> None:
    with pytest.raises(PatternError, match=said) as caught:
        pattern(written)
    assert abs(caught.value.at - at) <= 1


@given(st.text(r"ab()[]{}|*+?^$\.-,12dwDW/:=!<P", max_size=24))
def test_any_text_is_a_pattern_or_refused(written: str) -> None:
    at = 0
    try:
        assert_is_linear(pattern(written))
    except PatternError as error:
        at = error.at
    assert 0 <= at <= len(written)


@pytest.mark.parametrize(
    "written", ["(a*)*b", "(a|a)*b", "(a|aa)+$", "(.*)*x", ".*a.*a.*a.*a.*b", "(a?){1}a"]
)
def test_what_takes_others_for_ever_is_linear(written: str) -> None:
    if written == "(a?){1}a":
        with pytest.raises(PatternError):
            pattern(written)
        return
    found = pattern(written)
    assert_is_linear(found)
    assert not found.is_in("a" * 5_000 + "!")


def assert_is_linear(found: Pattern) -> None:
    """By construction: RE2 searches, and nothing in the expression needs to go back in the text."""
    compiled = _compiled(found.translated)
    assert type(compiled).__module__ == "re2"
    assert not re.search(r"\\[0-9A-Za-z]", found.translated.replace("\\\\", ""))
    assert not re.search(r"\(\?(?!:)", re.sub(r"\\.", "", found.translated))


def test_foreign_texts_are_searched_whatever_is_in_them() -> None:
    assert pattern("red").is_in("\x1b[31mRED\x1b[0m [/red]")
    assert pattern("^a.b$").is_in("a\ud800b")
    assert not pattern(r"\.").is_in("")

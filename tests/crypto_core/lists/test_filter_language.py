"""The filter language: what it takes, where it points when it doesn't; nothing else ever comes out."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from crypto_core.database.tokens.inventory import FIELDS
from crypto_core.errors import InvalidFilterError
from crypto_core.lists.filter_language import Alternative, Field, Term, ValueKind, parse_filter

DAY = datetime(2026, 1, 31, tzinfo=UTC)


def parsed(expression: str) -> tuple[Term, ...]:
    return parse_filter(expression, FIELDS)


def only(expression: str) -> Alternative:
    (term,) = parsed(expression)
    (alternative,) = term.alternatives
    return alternative


def error(expression: str) -> InvalidFilterError:
    with pytest.raises(InvalidFilterError) as caught:
        parsed(expression)
    assert f"character {caught.value.position + 1}:" in caught.value.message
    return caught.value


@pytest.mark.parametrize("expression", ["", " ", "\t\n  "])
def test_an_empty_expression_has_no_terms(expression: str) -> None:
    assert parsed(expression) == ()


def test_terms_keep_their_order_and_say_where_they_begin() -> None:
    terms = parsed('provider:slack  -format:plaintext,dev "exact words" acme')
    assert [(t.field, t.negated, t.position) for t in terms] == [
        ("provider", False, 0),
        ("format", True, 16),
        (None, False, 38),
        (None, False, 52),
    ]
    assert [[a.text for a in t.alternatives] for t in terms] == [
        ["slack"],
        ["plaintext", "dev"],
        ["exact words"],
        ["acme"],
    ]


@pytest.mark.parametrize("name", ["org", "ORG", "Org"])
def test_fields_are_named_in_any_case(name: str) -> None:
    assert parsed(f"{name}:acme")[0].field == "org"


@pytest.mark.parametrize(
    ("name", "field"), [("ref", "reference"), ("material_id", "material"), ("state", "severity")]
)
def test_a_field_may_have_another_name(name: str, field: str) -> None:
    assert parsed(f"{name}:high")[0].field == field


@pytest.mark.parametrize(
    ("pattern", "matches", "misses"),
    [
        ("acme", ["acme"], ["acme2", "xacme"]),
        ("acme*", ["acme", "acme2"], ["xacme"]),
        ("*", ["", "anything"], []),
        ("a*c*e", ["ace", "abcde"], ["acd"]),
        ("a.c", ["a.c"], ["abc"]),
        ("a\\d", ["a\\d"], ["a1"]),
        ("[ab]", ["[ab]"], ["a"]),
        ("(a|b)", ["(a|b)"], ["a"]),
        ("a%_", ["a%_"], ["abc"]),
        ('"a*c"', ["a*c"], ["abc"]),
        ('"a, b"', ["a, b"], ["a"]),
    ],
)
def test_a_star_stands_for_anything_and_nothing_else_does(
    pattern: str, matches: list[str], misses: list[str]
) -> None:
    alternative = only(f"org:{pattern}")
    assert all(map(alternative.matches, matches))
    assert not any(map(alternative.matches, misses))


@given(st.text("ab*", max_size=8), st.text("abAB", max_size=8))
def test_stars_match_as_a_regular_expression_would(pattern: str, text: str) -> None:
    regex = re.compile(".*".join(map(re.escape, pattern.split("*"))), re.IGNORECASE)
    value = Alternative(text=pattern)
    assert value.matches(text) is bool(regex.fullmatch(text))
    assert value.matches(text, anywhere=True) is bool(regex.search(text))


def test_no_pattern_makes_matching_take_for_ever() -> None:
    code = (
        "from crypto_core.lists.filter_language import Alternative\n"
        "value = Alternative(text='*a' * 40 + 'b*c')\n"
        "print(value.matches('a' * 20_000), value.matches('a' * 20_000, anywhere=True))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert ran.stdout.split() == ["False", "False"]


def test_an_expression_has_bounds() -> None:
    with pytest.raises(InvalidFilterError, match="more than 65,536 characters"):
        parse_filter("a " * 40_000, {})


def test_many_stars_are_as_quick_as_one() -> None:
    assert only("org:" + "*" * 5000 + "x").parts == ("", "x")
    assert error("format:" + "*" * 60 + "x").position == 7


@pytest.mark.parametrize(
    ("value", "least", "most", "with_least", "with_most"),
    [
        ("5", 5, 5, True, True),
        (">5", 5, None, False, True),
        (">=5", 5, None, True, True),
        ("<5", None, 5, True, False),
        ("<=5", None, 5, True, True),
        ("5..9", 5, 9, True, True),
        ("5..", 5, None, True, True),
        ("..9", None, 9, True, True),
        ("1.5", 1.5, 1.5, True, True),
        ('"5..9"', 5, 9, True, True),
    ],
)
def test_numbers_are_compared_by_size(
    value: str, least: float | None, most: float | None, with_least: bool, with_most: bool
) -> None:
    found = only(f"characters:{value}")
    assert found.is_range
    assert (found.at_least, found.at_most) == (least, most)
    assert least is None or found.include_least is with_least
    assert most is None or found.include_most is with_most


@pytest.mark.parametrize(
    ("value", "least", "most", "with_most"),
    [
        ("2026-01-31", DAY, DAY + timedelta(days=1), False),
        ("2026-01-31..2026-01-31", DAY, DAY + timedelta(days=1), False),
        ("..2026-01-31", None, DAY + timedelta(days=1), False),
        ("<=2026-01-31", None, DAY + timedelta(days=1), False),
        ("<2026-01-31", None, DAY, False),
        (">2026-01-31", DAY + timedelta(days=1), None, True),
        (">=2026-01-31", DAY, None, True),
        ("2026-01-31..", DAY, None, True),
        ("..2026-01-31T00:00", None, DAY, True),
        (">2026-01-31T00:00", DAY, None, True),
        ("2026-01-31T00:00", DAY, DAY, True),
        ("..9999-12-31", None, datetime.max.replace(tzinfo=UTC), True),
        ('"2026-01-31 12:00"', DAY + timedelta(hours=12), DAY + timedelta(hours=12), True),
    ],
)
def test_a_date_is_the_whole_day_and_a_time_is_a_moment(
    value: str, least: datetime | None, most: datetime | None, with_most: bool
) -> None:
    found = only(f"created:{value}")
    assert (found.at_least, found.at_most) == (least, most)
    assert most is None or found.include_most is with_most


def test_a_day_that_is_passed_is_not_in_it() -> None:
    found = only("created:>2026-01-31")
    assert found.include_least
    assert only("created:>2026-01-31T10:00").include_least is False


def test_a_moment_keeps_its_offset_and_is_utc_without_one() -> None:
    moment = only("created:>=2026-01-31T12:00+02:00").at_least
    assert moment == datetime(2026, 1, 31, 12, tzinfo=timezone(timedelta(hours=2)))
    assert only("created:>=2026-01-31T12:00").at_least == DAY + timedelta(hours=12)


@pytest.mark.parametrize(
    ("expression", "position"),
    [
        ("orgg:acme", 0),
        ("format:v1 orgg:acme", 10),
        ("-orgg:acme", 1),
        ("org:", 4),
        ("-", 1),
        ("a -", 3),
        ("org:a,", 6),
        ("org:a,,b", 6),
        (",", 0),
        ('org:"acme', 4),
        ('a "b', 2),
        ('""', 0),
        ("format:v3", 7),
        ("format:v1,v3", 10),
        ('format:"v1*"', 7),
        ("severity:bad", 9),
        ("leaked:nobody", 7),
        ("characters:x", 11),
        ("characters:5..x", 14),
        ("characters:x..5", 11),
        ("characters:>x", 12),
        ("characters:>=x", 13),
        ("characters:..", 11),
        ("characters:>", 11),
        ("characters:5,x", 13),
        ("characters:-5", 11),
        ("characters:1e9", 11),
        ("characters:" + "9" * 16, 11),
        ('characters:"x"', 12),
        ('characters:"5..x"', 15),
        ("created:yesterday", 8),
        ("created:2026-13-01", 8),
        ("created:2026-01-01..2026-02-30", 20),
        ("created:>2026-02-30", 9),
        ("a\x00b", 1),
        ("org:\ud800", 4),
    ],
)
def test_an_error_points_at_the_character(expression: str, position: int) -> None:
    assert error(expression).position == position


def test_an_unknown_field_is_answered_with_the_fields() -> None:
    caught = error("organisation:acme")
    assert "'organisation'" in caught.message
    assert all(field.name in caught.remedy for field in FIELDS.values())


def test_a_value_that_never_occurs_is_answered_with_those_that_do() -> None:
    assert "v1, v2, v2-bound, dev, plaintext, unrecognised, empty" in error("format:v9").remedy


@pytest.mark.parametrize("expression", ["format:V1", "format:PLAIN*", "severity:High", "leaked:GitHub"])
def test_known_values_are_named_in_any_case(expression: str) -> None:
    assert parsed(expression)


def test_other_fields_can_be_given() -> None:
    fields = {"size": Field("size", ValueKind.NUMBER), "who": Field("who")}
    assert [t.field for t in parse_filter("who:me size:>3", fields)] == ["who", "size"]
    with pytest.raises(InvalidFilterError, match="Fields: size, who"):
        parse_filter("org:acme", fields)


_pieces = st.sampled_from(
    [
        *(f"{name}:" for name in FIELDS),
        "-", ",", '"', "*", " ", "..", ">", ">=", "<", "<=", ":", "'", "\\", "%", "%s", "(", ")", "[", "|",
        "v1", "plaintext", "high", "github", "5", "99999", "1.5", "2026-01-01", "2026-01-01T10:00Z", "\n",
        "9999-12-31", "0001-01-01T00:00+23:59", "acme", "ü", "\u202e", "\u2028", "\x1f", "\x00", "\ud800",
    ]
)  # fmt: skip
expressions = st.one_of(st.text(max_size=60), st.lists(st.one_of(_pieces, st.text(max_size=4))).map("".join))


@given(expressions)
@example("created:>9999-12-31")
@example("created:0001-01-01..0001-01-01")
@example("created:>0001-01-01T00:00+23:59")
@example("created:2026-W01-1")
def test_any_text_is_read_or_refused_at_a_character_of_it(expression: str) -> None:
    try:
        terms = parsed(expression)
    except InvalidFilterError as caught:
        refused = caught
    else:
        assert all(term.alternatives for term in terms)
        positions = [term.position for term in terms]
        assert positions == sorted(set(positions))
        assert all(0 <= p < len(expression) for p in positions)
        assert all(a.parts for t in terms for a in t.alternatives)
        return
    assert 0 <= refused.position <= len(expression)


@given(expressions)
def test_what_was_read_once_is_read_alike_between_other_terms(expression: str) -> None:
    try:
        terms = parsed(expression)
    except InvalidFilterError:
        return
    around = parsed(f"org:a {expression} org:b")
    assert [(t.field, t.alternatives, t.negated) for t in around[1:-1]] == [
        (t.field, t.alternatives, t.negated) for t in terms
    ]

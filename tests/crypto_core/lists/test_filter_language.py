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
from crypto_core.lists.filter_language import (
    Alternative,
    Clause,
    Field,
    Term,
    ValueKind,
    parse_filter,
    passes,
    simplified,
    terms_of,
    written,
)
from crypto_core.values.errors import InvalidFilterError

DAY = datetime(2026, 1, 31, tzinfo=UTC)


def parsed(expression: str) -> tuple[Term, ...]:
    return tuple(terms_of(parse_filter(expression, FIELDS)))


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


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("org", "org"),
        ("ORG", "org"),
        ("ref", "reference"),
        ("material_id", "material"),
        ("State", "severity"),
    ],
)
def test_fields_are_named_in_any_case_and_may_have_another_name(name: str, field: str) -> None:
    assert parsed(f"{name}:HIGH")[0].field == field


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
        ('"(a|b)"', ["(a|b)"], ["a"]),
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


def test_other_fields_can_be_given() -> None:
    fields = {"size": Field("size", ValueKind.NUMBER), "who": Field("who")}
    assert [t.field for t in terms_of(parse_filter("who:me size:>3", fields))] == ["who", "size"]
    with pytest.raises(InvalidFilterError, match="Fields: size, who"):
        parse_filter("org:acme", fields)


_pieces = st.sampled_from(
    [
        *(f"{name}:" for name in FIELDS),
        "-", ",", '"', "*", " ", " OR ", " AND ", "NOT ",
        "(", ")", "/", "/a.*/", "or", "=", "!", "|", "~", "\x1b",
        "..", ">", ">=", "<", "<=", ":", "'", "\\", "%", "%s", "(", ")", "[", "|",
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
        assert "\x1b" not in refused.message + refused.remedy
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
    around = parsed(f"org:a ({expression}) org:b" if terms else "org:a org:b")
    assert [(t.field, t.alternatives, t.negated) for t in around[1:-1]] == [
        (t.field, t.alternatives, t.negated) for t in terms
    ]


FOREIGN = [
    ("format:v1 or format:v2", 10, "Write OR in capital letters"),
    ("a and b", 2, "or write AND"),
    ("not acme", 0, "Write NOT in capital letters, or -TERM"),
    ("a || b", 2, "write OR between terms"),
    ("a && b", 2, "must all hold"),
    ("org=acme", 3, "Write org:acme."),
    ("org==acme", 3, "Write org:acme."),
    ("nothing=acme", 7, "Write nothing:acme."),
    ("org:=acme", 4, "Write org:acme."),
    ("org!=acme", 3, "Write -org:acme."),
    ("org<>acme", 3, "Write -org:acme."),
    ("org:!acme", 4, "Write -org:acme."),
    ("characters>5", 10, "Write characters:>5."),
    ("characters > 5", 11, "FIELD:>5"),
    ("org~acme", 3, "Write org:/acme/."),
    ("org=~acme", 3, "Write org:/acme/."),
    ("org:~acme", 4, "Write org:/acme/."),
    ("org:acme|other", 8, "name:a,b"),
    ("org:(acme OR other)", 4, "A value is missing"),
    ("acme|other", 4, "write OR between terms"),
    ("!acme", 0, "Write -acme or NOT acme"),
    ("-!acme", 1, "Write -acme or NOT acme"),
    ("+acme", 0, "Write acme: every term must hold"),
    ("org like acme", 4, "FIELD:*PART*"),
    ("org in acme", 4, "org:a,b for one of several"),
    ("org contains acme", 4, "org:*PART*"),
    ("org:'acme'", 4, 'Write "acme".'),
    ("'two words'", 0, 'Write "two".'),
    ("org :acme", 4, "without spaces"),
    ("org:acme%", 4, "* stands for any"),
    ("org:ac?e", 6, "* stands for any"),
    ("org:>acme", 4, "is a text"),
    ("where org:acme", 0, "FIELD:*PART*"),
    ("select org:acme", 0, "FIELD:*PART*"),
    ("org:acme; table:b", 8, "Leave out the ;"),
    ("org:[a,b]", 4, "without brackets"),
    ("org:a,b]", 6, "without brackets"),
    ("org::acme", 4, "Write org:acme."),
    ("org:^acme", 4, "Write org:/^acme/."),
    ("org:acme$", 4, "Write org:/acme$/."),
    ("org:.*me", 4, "Write org:/.*me/."),
    ("a format", 2, "Write format:v1."),
    ("org: acme", 4, "right behind the colon"),
    ("(a b", 0, "parenthesis is not closed"),
    ("a b)", 3, "closes none"),
    ("()", 1, "Write a term between"),
    ("OR a", 0, "Nothing stands before OR"),
    ("a OR", 4, "Nothing stands behind OR"),
    ("a OR OR b", 5, "Nothing stands before OR"),
    ("a AND", 5, "Nothing stands behind AND"),
    ("a AND OR b", 6, "Nothing stands before OR"),
    ("a NOT", 5, "Nothing stands behind NOT"),
    ("NOT OR a", 4, "Nothing stands behind NOT"),
    ("(a) OR (b OR )", 13, "Nothing stands behind OR"),
    ("a(b)", 1, "middle of a word"),
    ("org:a(b)", 5, "middle of a word"),
    ("org:/a", 4, "not closed"),
    ("/a/i", 3, "Case doesn't count"),
    ("org:/a", 4, "in quotes"),
    ("orgs:acme", 0, "Did you mean org?"),
    ("userIdentity.arn:x", 0, "There is no field"),
    ("format:/v[345]/", 7, "Values: v1"),
]


@pytest.mark.parametrize(("expression", "position", "said"), FOREIGN)
def test_what_other_languages_write_is_refused_with_what_is_meant(
    expression: str, position: int, said: str
) -> None:
    caught = error(expression)
    assert caught.position == position
    assert said in f"{caught.message} {caught.remedy}"


@pytest.mark.parametrize(("expression", "position", "said"), FOREIGN)
def test_in_quotes_everything_is_a_text(expression: str, position: int, said: str) -> None:
    assert only(written(expression)).text == expression.replace('"', "*")


def test_a_token_s_reference_is_text_though_it_has_a_colon() -> None:
    assert parsed("gh_connection.access_token:gh-42")[0].field is None


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("(" * 10_000 + "a" + ")" * 10_000, "More than 30 parentheses"),
        ("(" * 60_000, "More than 30 parentheses"),
        (")" * 60_000, "Nothing stands here"),
        ("a OR " * 13_000 + "b", "more than 300 terms"),
        ("-(a " * 13_000, "More than 30 parentheses"),
        ("org:" + "a," * 32_000 + "b", "more than 2,000 values"),
        ("NOT " * 16_000, "Nothing stands behind NOT"),
        ("a AND " * 10_000 + "b", "more than 300 terms"),
        ("/" + "(" * 60_000 + "/", "at most 300 characters"),
        ("/" + "a" * 60_000, "not closed"),
        ("\x1b[31mred=1", "There is no|not known"),
        ("[/red]=1", "not known"),
        ("org:[/red]|x", "not known"),
    ],
)
def test_hostile_expressions_are_refused_at_once(expression: str, said: str) -> None:
    caught = error(expression)
    assert re.search(said, caught.message)
    assert len(caught.message + caught.remedy) < 1_000
    assert (caught.message + caught.remedy).isprintable()


def test_as_many_terms_as_there_may_be_are_read_and_asked() -> None:
    clauses = parse_filter(" OR ".join(f"org:a{n} column:b" for n in range(100)), FIELDS)
    assert passes(clauses, {"org": "a99", "column": "b"}.get)
    assert not passes(clauses, {"org": "a100", "column": "b"}.get)
    assert parsed("NOT " * 101 + "org:a")[0].negated
    assert len(parsed("(" * 30 + "org:a" + ")" * 30)) == 1


_atoms = st.sampled_from(["org:1", "id:1", "column:1", "-org:1", "org:0,1", "org:1,2"])
_trees = st.recursive(
    _atoms,
    lambda inner: st.one_of(
        st.tuples(st.sampled_from([" ", " AND ", " OR "]), st.lists(inner, min_size=1, max_size=3)).map(
            lambda p: "(" + p[0].join(p[1]) + ")"
        ),
        inner.map("NOT {}".format),
        inner.map(lambda text: f"-{text}" if text[0] == "(" else f"-({text})"),
    ),
    max_leaves=8,
)


def _as_python(expression: str) -> str:
    """The same expression in Python's words, by its tokens alone."""
    text = re.sub(r"-(?=\()", "NOT ", expression)
    text = re.sub(r"(-?)(org|id|column):([\d,]+)", r"\1(\2 in '\3')", text)
    text = re.sub(r"-\((\w)", r"(not \1", text)
    text = re.sub(r"(?<=\)) +(?=[(]|NOT)", " and ", text)
    return text.replace("AND", "and").replace("OR", "or").replace("NOT", "not")


@given(st.lists(_trees, min_size=1, max_size=3), st.sampled_from([" ", " AND ", " OR "]))
@example(["org:1", "(id:1 OR column:1)"], " OR ")
@example(["org:1 id:1", "column:1"], " OR ")
@example(["NOT (NOT (org:1))"], " ")
def test_or_and_not_and_parentheses_mean_what_they_do_everywhere(trees: list[str], between: str) -> None:
    expression = between.join(trees)
    clauses = parse_filter(expression, FIELDS)
    simple = simplified(clauses)
    for number in range(8):
        row = {"org": str(number & 1), "id": str(number >> 1 & 1), "column": str(number >> 2 & 1)}
        meant = eval(_as_python(expression), {}, row)
        assert passes(clauses, row.__getitem__) is meant
        assert passes(simple, row.__getitem__) is meant


@pytest.mark.parametrize(
    ("expression", "same"),
    [
        ("org:a OR org:b", "org:a,b"),
        ("(org:a) (id:b)", "org:a id:b"),
        ("NOT org:a", "-org:a"),
        ("-(-(org:a))", "org:a"),
        ("NOT (org:a OR org:b)", "-org:a,b"),
        ("(org:a AND (id:b))", "org:a id:b"),
    ],
)
def test_what_an_index_can_look_up_is_a_term_by_itself(expression: str, same: str) -> None:
    def bare(clauses: tuple[Clause, ...]) -> list[tuple[object, ...]]:
        assert all(isinstance(one, Term) for one in clauses)
        return [(one.field, one.alternatives, one.negated) for one in clauses if isinstance(one, Term)]

    assert bare(simplified(parse_filter(expression, FIELDS))) == bare(parse_filter(same, FIELDS))


def test_an_address_is_a_network_or_it_is_refused() -> None:
    fields = {"ip": Field("ip", ValueKind.ADDRESS)}
    inside = parse_filter("ip:10.0.0.0/8,2001:db8::/32", fields)
    assert [passes(inside, {"ip": ip}.get) for ip in ("10.9.9.9", "2001:db8::1", "11.0.0.1", "x", "")] == [
        *(True, True),
        *(False, False, False),
    ]
    for wrong in ("10.0.0.0/33", "10.0.0/8", "10.0.0.0/", "10.0.0.0/255.0.255.0", "a/b"):
        with pytest.raises(InvalidFilterError, match="is not a network") as caught:
            parse_filter(f"x ip:{wrong}", fields)
        assert caught.value.position == 5


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("22..06", "22 23 00 01 02 03 04 05 06"),
        ("9", "09"),
        ("3,04", "03 04"),
        ("23..0", "23 00"),
        ("5..5", "05"),
    ],
)
def test_hours_may_run_past_midnight(value: str, found: str) -> None:
    from crypto_core.lists.filter_language import HOURS

    fields = {"hour": Field("hour", ValueKind.CYCLE, HOURS)}
    (term,) = terms_of(parse_filter(f"hour:{value}", fields))
    assert [one.text for one in term.alternatives] == found.split()


def test_days_of_the_week_have_two_names() -> None:
    from crypto_core.lists.filter_language import WEEKDAYS

    fields = {"weekday": Field("weekday", ValueKind.CYCLE, WEEKDAYS)}
    (term,) = terms_of(parse_filter("weekday:Saturday..mon", fields))
    assert [one.text for one in term.alternatives] == ["sat", "sun", "mon"]
    for wrong in ("sa", "saturdays", "1", "mon..", ">sat"):
        with pytest.raises(InvalidFilterError, match="weekday is never"):
            parse_filter(f"weekday:{wrong}", fields)


def test_a_field_by_a_key_takes_keys_with_colons_and_quotes() -> None:
    keyed = Field("context", ValueKind.KEYED)
    fields = {"context": keyed, "requestparameters.encryptioncontext": keyed}

    def key(expression: str) -> tuple[str | None, str]:
        (term,) = terms_of(parse_filter(expression, fields))
        return term.field, term.alternatives[0].text

    assert key("context.keydeck:id:gh-1") == ("context.keydeck:id", "gh-1")
    assert key("context.Tenant:a:b") == ("context.tenant", "a:b")
    assert key("context.aws:s3:arn:arn:aws:s3:::b") == ("context.aws:s3:arn", "arn:aws:s3:::b")
    assert key('context."my key:x":y') == ("context.my key:x", "y")
    assert key("requestParameters.encryptionContext.tenant:*") == ("context.tenant", "*")
    for wrong in ("context.keydeck:id", "context.tenant", 'context."a b"', "context.", "context:a"):
        with pytest.raises(InvalidFilterError):
            parse_filter(wrong, fields)

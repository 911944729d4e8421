"""Which columns a width has room for, how wide they get, and what a table is sorted by next."""

from __future__ import annotations

from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_core.lists.paging import Query
from crypto_core.lists.sheet import SheetField
from screens.blocking_calls import Failure
from screens.connections.screen import LISTING
from screens.facts import ScreenFacts
from screens.widgets.table.columns import GAP, NARROWEST, Column, Placed, place, wanted
from screens.widgets.table.table_list import arrow, order_after, order_named

FACTS = cast(ScreenFacts, None)
"""What columns of plain texts need of the facts: nothing."""


def column(name: str, *, least: int = 6, most: int = 24, rank: int = 5) -> Column[dict[str, str]]:
    return SheetField(name, lambda row, _: (row.get(name, ""), ""), (least, most, rank), order=True)


def named(placed: tuple[Placed[dict[str, str]], ...]) -> dict[str, int]:
    return {p.column.name: p.width for p in placed}


def test_a_column_is_as_wide_as_its_widest_text_within_its_limits() -> None:
    columns = [column("a", most=10), column("b"), column("long-heading")]
    rows = [{"a": "x" * 50, "b": "漢字漢字漢"}, {"a": "y"}]
    assert wanted(rows, columns, FACTS) == {"a": 10, "b": 10, "long-heading": 14}
    assert wanted([], columns, FACTS, {"a": 9, "b": 20})["b"] == 20
    assert wanted([{"b": "\x1b\x1b\x1b\x1babc"}], columns, FACTS)["b"] == 3


def test_the_least_important_columns_make_way_first() -> None:
    columns = [column("a", rank=0), column("b", rank=9), column("c", rank=1)]
    assert list(named(place(24, columns, {}, "a"))) == ["a", "b", "c"]
    assert list(named(place(23, columns, {}, "a"))) == ["a", "c"]
    assert list(named(place(15, columns, {}, "a"))) == ["a"]


def test_a_column_in_focus_is_in_sight_even_where_it_matters_least() -> None:
    columns = [column("a", rank=0), column("b", rank=1), column("c", rank=9)]
    assert list(named(place(16, columns, {}, "c"))) == ["a", "c"]
    wide_first = [column("a", least=30, rank=0), column("c", rank=9)]
    assert named(place(20, wide_first, {}, "c")) == {"a": 10, "c": 6}


def test_spare_columns_stand_behind_the_others_only_where_there_is_room_to_spare() -> None:
    columns, spare = [column("a"), column("b")], [column("s", least=10), column("t", least=10, most=12)]
    want = {"a": 8, "b": 8, "s": 10, "t": 99}
    assert list(named(place(31, columns, want, "a", spare))) == ["a", "b"]
    assert named(place(32, columns, want, "a", spare)) == {"a": 8, "b": 8, "s": 10}
    assert named(place(80, columns, want, "a", spare)) == {"a": 8, "b": 8, "s": 10, "t": 12}


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[Column[dict[str, str]]], dict[str, int], str]:
    columns = []
    for i in range(draw(st.integers(1, 8))):
        least = draw(st.integers(1, 30))
        columns.append(
            column(str(i), least=least, most=draw(st.integers(least, 60)), rank=draw(st.integers(0, 9)))
        )
    names = [c.name for c in columns]
    want = draw(st.dictionaries(st.sampled_from(names), st.integers(1, 80)))
    return columns, want, draw(st.sampled_from(names))


@given(tables(), st.integers(16, 300))
def test_columns_fit_the_width_with_the_first_one_and_the_one_in_focus_in_sight(
    table: tuple[list[Column[dict[str, str]]], dict[str, int], str], width: int
) -> None:
    columns, want, focus = table
    placed = place(width, columns, want, focus, [column("spare", rank=0)])
    shown = [p.column.name for p in placed]
    assert shown[0] == columns[0].name
    assert len(set(shown)) == len(shown)
    assert all(p.width >= 1 for p in placed)
    if sum(p.width + GAP for p in placed) > width:
        # Only a column in focus that is too wide for the terminal itself is cut at its edge.
        assert len(placed) == 2
        assert placed[1].column.name == focus
        assert placed[0].width == NARROWEST
    assert focus in shown
    assert all(p.width <= max(want.get(p.column.name, p.column.most), 1) for p in placed)
    assert sorted(shown) == shown
    if "spare" in shown:
        assert len(shown) == len(columns) + 1


def test_a_column_sorts_first_up_then_down_then_as_at_first() -> None:
    org = LISTING.column("org")
    assert org is not None
    steps = [LISTING.first_query("provider:slack")]
    for _ in range(3):
        steps.append(cast(Query, order_after(LISTING, steps[-1], org)))
    assert [(s.sort, s.descending) for s in steps] == [
        ("state", False),
        ("org", False),
        ("org", True),
        ("state", False),
    ]
    assert {s.filter for s in steps} == {"provider:slack"}


def test_a_column_without_an_order_says_so() -> None:
    about = LISTING.column("about")
    assert about is not None
    answer = order_after(LISTING, Query(), about)
    assert isinstance(answer, Failure)
    assert "can't be sorted by" in answer.message


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("org", ("org", False)),
        ("org desc", ("org", True)),
        ("  org   asc ", ("org", False)),
        ("state", ("state", False)),
        ("state desc", ("state", True)),
        ("characters desc", ("characters", True)),
    ],
)
def test_an_order_is_named_in_words(words: str, expected: tuple[str, bool]) -> None:
    query = order_named(LISTING, Query("format:v1"), words)
    assert isinstance(query, Query)
    assert (query.sort, query.descending) == expected
    assert query.filter == "format:v1"


@pytest.mark.parametrize("words", ["nothing", "org down", "org desc desc", "material", "about desc", "desc"])
def test_an_order_that_there_is_not_names_those_that_there_are(words: str) -> None:
    answer = order_named(LISTING, Query(), words)
    assert isinstance(answer, Failure)
    assert answer.message == f"Can't sort by {words}."
    for sortable in (c for c in LISTING.columns if c.sort):
        assert sortable.name in answer.remedy
    assert "about" not in answer.remedy


def test_the_arrow_points_down_where_the_worst_or_the_greatest_comes_first() -> None:
    assert arrow(LISTING, Query(sort="state")) == "↓"
    assert arrow(LISTING, Query(sort="state", descending=True)) == "↑"
    assert arrow(LISTING, Query(sort="org")) == "↑"
    assert arrow(LISTING, Query(sort="org", descending=True)) == "↓"

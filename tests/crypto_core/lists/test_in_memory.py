"""Small lists as pages: both ways, from anywhere, with the filter language and orders that never jump."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Event

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_core.lists.filter_language import Field, Value, ValueKind
from crypto_core.lists.paging import Cursor, Page, PagedSource, Query
from crypto_core.lists.sheet import MemorySource
from crypto_core.values.errors import InterruptedRunError, InvalidFilterError, KeydeckError


@dataclass(frozen=True)
class Entry:
    number: int
    name: str
    size: float | None = None
    names: tuple[str, ...] = ()
    at: datetime | None = None


FIELDS = {
    "name": Field("name"),
    "names": Field("names"),
    "size": Field("size", ValueKind.NUMBER),
    "at": Field("at", ValueKind.DATE),
}


def read(entry: Entry, name: str) -> Value:
    value: Value = getattr(entry, name)
    return value


def source(*entries: Entry) -> MemorySource[Entry]:
    return MemorySource(
        lambda: entries,
        fields=FIELDS,
        read=read,
        identity=lambda e: e.number,
        sorts={"name": lambda e: e.name, "size": lambda e: e.size},
        free=("name", "names"),
    )


def numbers(page: Page[Entry]) -> list[int]:
    return [row.number for row in page.rows]


def found(filter_: str, *entries: Entry) -> list[int]:
    here = source(*entries)
    page = numbers(here.page(Query(filter_)))
    assert here.count(Query(filter_)) == len(page)
    return page


SOME = (
    Entry(3, "Alpha", 2.5, ("alias/x", "alias/y"), datetime(2026, 1, 31, 23, 59, tzinfo=UTC)),
    Entry(1, "beta", None, (), None),
    Entry(2, "alp*ha", 10, ("ALIAS/Z",), datetime(2026, 2, 1, tzinfo=UTC)),
)


def test_a_list_is_a_paged_source() -> None:
    paged: PagedSource[Entry] = source(*SOME)
    assert numbers(paged.page(Query())) == [1, 2, 3]


@pytest.mark.parametrize(
    ("filter_", "expected"),
    [
        ("", [1, 2, 3]),
        ("name:ALPHA", [3]),
        ("name:alp*", [2, 3]),
        ('name:"alp*ha"', [2]),
        ("-name:alp*", [1]),
        ("name:beta,alpha", [1, 3]),
        ("lph", [3]),
        ("a*a", [2, 3]),
        ("alias/z", [2]),
        ('names:"alias/?"', []),
        ("names:alias/y", [3]),
        ("-names:*", [1]),
        ("size:>2", [2, 3]),
        ("size:..2.5", [3]),
        ("-size:>0", [1]),
        ("at:2026-01-31", [3]),
        ("at:2026-01-31..2026-02-01", [2, 3]),
        ("-at:2026-01-31", [1, 2]),
        ("at:>2026-01-31 alp", [2]),
    ],
)
def test_a_filter_lets_through_what_it_says(filter_: str, expected: list[int]) -> None:
    assert found(filter_, *SOME) == expected


def test_rows_without_a_value_sort_before_all_others() -> None:
    here = source(*SOME)
    assert numbers(here.page(Query(sort="size"))) == [1, 3, 2]
    assert numbers(here.page(Query(sort="size", descending=True))) == [2, 3, 1]


def test_equal_rows_keep_their_order_either_way() -> None:
    here = source(Entry(2, "x"), Entry(1, "x"), Entry(3, "x"))
    assert numbers(here.page(Query(sort="name"))) == numbers(here.page(Query(sort="name", descending=True)))


def test_the_list_is_read_anew_for_every_page() -> None:
    entries = [Entry(n, "x") for n in range(5)]
    here = MemorySource(
        lambda: entries, fields=FIELDS, read=read, identity=lambda e: e.number, sorts={}, free=()
    )
    page = here.page(Query(), limit=2)
    entries[:2] = []
    entries.append(Entry(9, "y"))
    assert numbers(here.page(Query(), page.last)) == [2, 3, 4, 9]


def test_what_is_wrong_is_told() -> None:
    with pytest.raises(KeydeckError, match="no order 'age'") as caught:
        source().page(Query(sort="age"))
    assert "name, size" in caught.value.remedy
    with pytest.raises(InvalidFilterError) as refused:
        source().count(Query("name:x nofield:y"))
    assert refused.value.position == 7
    cancelled = Event()
    cancelled.set()
    with pytest.raises(InterruptedRunError):
        source().page(Query(), cancelled=cancelled)


_entries = st.builds(Entry, st.integers(0, 99), st.text("abAB*", max_size=2), st.none() | st.integers(0, 3))


@given(
    st.lists(_entries, max_size=12, unique_by=lambda e: e.number),
    st.sampled_from(["", "name", "size"]),
    st.booleans(),
    st.integers(1, 5),
    st.sampled_from(["", "a", "-name:a*", "size:1..2"]),
)
def test_pages_backwards_are_the_pages_forwards(
    entries: list[Entry], sort: str, descending: bool, limit: int, filter_: str
) -> None:
    here, query = source(*entries), Query(filter_, sort, descending)
    whole = numbers(here.page(query, limit=100))
    for backwards in (False, True):
        walked: list[int] = []
        start: Cursor | None = None
        while True:
            page = here.page(query, start, backwards=backwards, limit=limit)
            walked = numbers(page) + walked if backwards else walked + numbers(page)
            start = page.first if backwards else page.last
            if not (page.above if backwards else page.below):
                break
        assert walked == whole


@given(
    st.lists(_entries, min_size=1, max_size=12, unique_by=lambda e: e.number),
    st.sampled_from(["", "name", "size"]),
    st.booleans(),
    st.data(),
)
def test_a_page_begins_at_its_cursor(
    entries: list[Entry], sort: str, descending: bool, data: st.DataObject
) -> None:
    here, query = source(*entries), Query("", sort, descending)
    whole = numbers(here.page(query))
    at = data.draw(st.integers(0, len(whole) - 1))
    cursor = here.page(query, limit=at + 1).last
    assert numbers(here.page(query, cursor)) == whole[at + 1 :]
    assert numbers(here.page(query, cursor, inclusive=True)) == whole[at:]
    assert numbers(here.page(query, cursor, backwards=True)) == whole[:at]
    assert numbers(here.page(query, cursor, backwards=True, inclusive=True)) == whole[: at + 1]
    left = source(*(e for e in entries if e.number != whole[at]))
    assert numbers(left.page(query, cursor, inclusive=True)) == whole[at + 1 :]
    assert numbers(left.page(query, cursor, backwards=True)) == whole[:at]

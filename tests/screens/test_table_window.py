"""What a table holds of an endless list, and which of its rows are marked."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from crypto_core.lists.paging import Cursor, Page
from screens.widgets.table.marks import Marks
from screens.widgets.table.window import RowWindow

Row = tuple[int, str]


def page(numbers: Sequence[int], *, above: bool = False, below: bool = False, text: str = "") -> Page[Row]:
    rows = tuple((n, text) for n in numbers)
    ends = [Cursor((n,)) for n in numbers]
    return Page(rows, ends[0] if ends else None, ends[-1] if ends else None, above=above, below=below)


def window(most: int = 6) -> RowWindow[Row]:
    return RowWindow(lambda row: row[0], most)


def numbers(held: RowWindow[Row]) -> list[int]:
    return [n for n, _ in held.rows]


def assert_sound(held: RowWindow[Row]) -> None:
    assert len(set(numbers(held))) == len(held.rows)
    assert [held.place(n) for n in numbers(held)] == list(range(len(held.rows)))
    assert len(held._places) == len(held.rows)


def test_how_many_rows_stand_above_is_not_guessed_where_it_is_not_known() -> None:
    held = window()
    held.show([page([90, 91, 92], above=True)], None)
    assert held.base is None
    held.prepend(page([87, 88, 89], above=True, below=True))
    assert held.base is None
    held.prepend(page([84, 85, 86], below=True))
    assert held.base == 0


def test_a_row_that_came_already_is_not_held_twice() -> None:
    held = window(100)
    held.show([page([0, 1, 2], below=True)], 0)
    held.append(page([2, 3], above=True, text="again"))
    assert numbers(held) == [0, 1, 2, 3]
    assert held.rows[2] == (2, "")
    assert held.prepend(page([-1, 0], below=True)) == 1
    assert numbers(held) == [-1, 0, 1, 2, 3]
    assert_sound(held)


def test_a_row_is_replaced_where_it_stands() -> None:
    held = window()
    held.show([page([0, 1, 2])], 0)
    assert held.replace((1, "new"))
    assert held.rows == [(0, ""), (1, "new"), (2, "")]
    assert not held.replace((7, "new"))
    assert numbers(held) == [0, 1, 2]


def test_a_row_that_is_gone_is_taken_out_and_its_page_is_let_go_as_a_whole_later() -> None:
    held = window()
    held.show([page([0, 1, 2], below=True), page([3, 4, 5], above=True, below=True)], 0)
    assert held.remove(1) == 1
    assert held.remove(1) is None
    assert numbers(held) == [0, 2, 3, 4, 5]
    assert_sound(held)
    assert held.append(page([6, 7, 8], above=True)) == 2
    assert numbers(held) == [3, 4, 5, 6, 7, 8]
    assert_sound(held)


def test_an_empty_page_changes_nothing_but_what_is_known_of_the_end() -> None:
    held = window()
    held.show([page([0, 1], below=True)], 0)
    held.append(page([], above=True))
    assert numbers(held) == [0, 1]
    assert not held.below
    assert held.last == Cursor((1,))


def test_an_empty_list_has_no_beginning_and_no_end() -> None:
    held = window()
    held.show([page([0, 1, 2])], 0)
    empty: Page[Row] = Page()
    for pages in ([], [empty]):
        held.show(pages, None)
        assert (held.rows, held.first, held.last, held.above, held.below) == ([], None, None, False, False)
        assert held.place(0) is None


@given(st.integers(1, 40), st.lists(st.integers(0, 40), max_size=10))
def test_whichever_rows_go_the_others_stay_in_their_order(total: int, gone: list[int]) -> None:
    held = window(100)
    held.show([page(range(start, min(start + 7, total))) for start in range(0, total, 7)], 0)
    for number in gone:
        at, others = held.place(number), [n for n in numbers(held) if n != number]
        assert held.remove(number) == at
        assert numbers(held) == others
        assert_sound(held)


@given(
    st.lists(st.sampled_from(["down", "up", "remove"]), max_size=60),
    st.integers(1, 7),
    st.integers(1, 40),
    st.integers(0, 100),
)
def test_however_it_is_paged_the_window_is_a_gapless_stretch_of_the_list(
    steps: list[str], size: int, most: int, total: int
) -> None:
    alive = list(range(total))

    def rows(start: int, end: int) -> Page[Row]:
        start, end = max(start, 0), min(end, len(alive))
        return page(alive[start:end], above=start > 0, below=end < len(alive))

    held = window(most)
    held.show([rows(0, size)], 0)
    for step in steps:
        before = set(numbers(held))
        if step == "down" and held.below:
            assert held.last is not None
            at = alive.index(int(held.last.values[0])) + 1
            held.append(rows(at, at + size))
        elif step == "up" and held.above:
            assert held.first is not None
            at = alive.index(int(held.first.values[0]))
            held.prepend(rows(at - size, at))
        elif step == "remove" and len(held.rows) > 2:
            # Not a row at which a page begins or ends: a source finds those by value, this list by index.
            inner = [n for n in numbers(held) if Cursor((n,)) not in (held.first, held.last)]
            if inner and inner[0] not in _edges(held):
                held.remove(inner[0])
                alive.remove(inner[0])
        here = numbers(held)
        assert_sound(held)
        assert len(here) <= max(most, size) + size
        # Wherever two pages fit, the operator goes on from rows that were there before.
        assert most < 2 * size or before & set(here) or not total
        if here:
            first = alive.index(here[0])
            assert here == alive[first : first + len(here)]
            assert held.base == first
            assert held.above == (first > 0)
            assert held.below == (first + len(here) < len(alive))


def _edges(held: RowWindow[Row]) -> set[int]:
    ends = [cursor for part in held._parts for cursor in (part.first, part.last) if cursor]
    return {int(cursor.values[0]) for cursor in ends}


def marks() -> Marks[Row]:
    return Marks(lambda row: row[0])


def test_a_mark_belongs_to_the_row_whatever_else_changes_about_it() -> None:
    marked = marks()
    marked.set((1, "before"), marked=True)
    assert (1, "after") in marked
    assert (2, "before") not in marked
    marked.learn((1, "after"))
    marked.learn((2, "never marked"))
    assert marked.rows == ((1, "after"),)
    marked.set((1, "later"), marked=False)
    assert not marked
    assert marked.rows == ()


def test_all_but_some_are_counted_against_the_number_that_the_filter_lets_through() -> None:
    marked = marks()
    marked.mark_all("org:acme")
    assert (marked.whole, marked.filter, marked.count(5000)) == (True, "org:acme", 5000)
    marked.set((1, ""), marked=False)
    marked.set((2, ""), marked=False)
    marked.set((2, ""), marked=True)
    assert (1, "") not in marked
    assert (2, "") in marked
    assert (3, "never seen") in marked
    assert marked.rows == ((1, ""),)
    assert marked.count(5000) == 4999
    assert marked.count(0) == 0
    assert marked.count(None) is None
    assert marked


def test_marks_are_gone_when_they_are_cleared_or_their_row_is_gone() -> None:
    marked = marks()
    marked.set((1, ""), marked=True)
    marked.set((2, ""), marked=True)
    marked.forget(1)
    assert marked.count(None) == 1
    marked.mark_all("")
    assert marked.rows == ()
    assert marked.whole
    marked.clear()
    assert not marked
    assert marked.filter is None

"""The parts that a table is made of, and what is remembered, against models of them."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from crypto_core.envelope import PROVIDER_PREFIXES, STORED_PREFIXES
from crypto_core.paging import Cursor, Page
from screens.memory import KEPT, Columns, Memory, Order, may_be_remembered
from screens.widgets.recall import Recall
from screens.widgets.table.window import Window

MOST = 20


def page(numbers: range, *, above: bool, below: bool) -> Page[int]:
    return Page(
        tuple(numbers),
        Cursor((numbers[0],)) if numbers else None,
        Cursor((numbers[-1],)) if numbers else None,
        above,
        below,
    )


class Model:
    """A list of numbers that a window shows pages of."""

    def __init__(self, total: int, size: int) -> None:
        self.total, self.size = total, size
        self.window: Window[int] = Window(lambda n: n, MOST)
        self.window.show([self.part(0, min(size, total))], 0)

    def part(self, start: int, end: int) -> Page[int]:
        return page(range(start, end), above=start > 0, below=end < self.total)

    def below(self) -> None:
        if self.window.below and self.window.last is not None:
            start = int(self.window.last.values[0]) + 1
            self.window.append(self.part(start, min(start + self.size, self.total)))

    def above(self) -> None:
        if self.window.above and self.window.first is not None:
            end = int(self.window.first.values[0])
            self.window.prepend(self.part(max(end - self.size, 0), end))


@given(st.integers(1, 200), st.integers(1, 9), st.lists(st.booleans(), max_size=80))
def test_a_window_always_holds_consecutive_rows_knows_where_they_are_and_holds_few(
    total: int, size: int, moves: list[bool]
) -> None:
    model = Model(total, size)
    for down in moves:
        before = list(model.window.rows)
        if down:
            model.below()
        else:
            model.above()
        held = list(model.window.rows)
        assert held == list(range(held[0], held[-1] + 1))
        assert len(held) <= MOST + size
        assert model.window.base == held[0]
        assert model.window.above is (held[0] > 0)
        assert model.window.below is (held[-1] < total - 1)
        assert [model.window.place(n) for n in held] == list(range(len(held)))
        assert set(held) & set(before)


@given(st.integers(30, 100), st.lists(st.integers(0, 40), max_size=10))
def test_a_window_lets_rows_go_that_are_no_longer_there(total: int, gone: list[int]) -> None:
    model = Model(total, 7)
    model.below()
    for number in gone:
        at = model.window.place(number)
        rows = list(model.window.rows)
        assert model.window.remove(number) == at
        assert list(model.window.rows) == [n for n in rows if n != number]
    assert [model.window.place(n) for n in model.window.rows] == list(range(len(model.window.rows)))


def test_a_row_that_comes_again_with_another_page_is_held_once() -> None:
    window: Window[int] = Window(lambda n: n, MOST)
    window.show([page(range(5), above=False, below=True)], 0)
    window.append(page(range(3, 9), above=True, below=False))
    assert list(window.rows) == list(range(9))


def test_a_row_is_replaced_where_it_stands() -> None:
    window: Window[tuple[int, str]] = Window(lambda row: row[0], MOST)
    window.show([Page(((1, "a"), (2, "b")))], 0)
    assert window.replace((2, "c"))
    assert not window.replace((3, "d"))
    assert list(window.rows) == [(1, "a"), (2, "c")]


def test_an_empty_list_has_no_beginning_and_no_end() -> None:
    window: Window[int] = Window(lambda n: n)
    window.show([Page()], None)
    assert (window.first, window.last, window.above, window.below, list(window.rows)) == (
        *(None, None, False, False),
        [],
    )


@given(st.lists(st.text(min_size=1, max_size=5)), st.lists(st.sampled_from([-1, 1]), max_size=20), st.text())
def test_recalling_never_loses_what_is_being_typed(history: list[str], steps: list[int], typed: str) -> None:
    recall = Recall(history)
    shown, at = typed, len(history)
    for step in steps:
        shown = recall.step(step, shown)
        at = min(max(at + step, 0), len(history))
        assert shown == (typed if at == len(history) else history[at])


JSON: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=6), inner, max_size=4)
    ),
    max_leaves=12,
)
SECTIONS = st.sampled_from(["history", "filters", "orders", "columns", "intervals", "looks", "other"])
NAMES = st.sampled_from(["command", "connections", "status", "theme"])
CONTENT = st.one_of(
    st.dictionaries(SECTIONS, JSON, max_size=5),
    st.dictionaries(SECTIONS, st.dictionaries(NAMES, JSON, max_size=4), max_size=5),
)


@given(CONTENT)
def test_whatever_stands_in_the_file_memory_gives_what_screens_expect(content: dict[str, Any]) -> None:
    memory = Memory(content)
    assert all(isinstance(text, str) for text in memory.history("command"))
    filters = memory.saved_filters("connections")
    assert all(isinstance(n, str) and isinstance(t, str) for n, t in filters.items())
    order = memory.order("connections")
    assert isinstance(order.sort, str)
    assert isinstance(order.descending, bool)
    columns = memory.columns("connections")
    assert all(isinstance(name, str) for name in columns.chosen)
    assert all(isinstance(w, int) and 1 <= w <= 500 for w in (columns.widths or {}).values())
    interval = memory.interval("status")
    assert interval is None or 0 <= interval <= 86_400
    assert isinstance(memory.theme, str)
    memory.remember("command", "keys")
    memory.remember_order("connections", Order("org", descending=True))
    memory.remember_columns("connections", Columns(("org",), {"org": 9}))
    assert memory.history("command")[-1] == "keys"
    assert memory.order("connections") == Order("org", descending=True)
    assert memory.columns("connections") == Columns(("org",), {"org": 9})


def test_what_is_remembered_comes_back_from_json_as_it_was() -> None:
    saved: list[str] = []
    memory = Memory(save=lambda content: saved.append(json.dumps(content)))
    memory.remember("command", "keys")
    memory.save_filter("connections", "worst", "format:plaintext")
    memory.remember_order("connections", Order("org", descending=True))
    memory.remember_columns("connections", Columns(("org", "key"), {"org": 9}))
    memory.remember_interval("status", 0)
    memory.remember_theme("ansi-dark")
    again = Memory(json.loads(saved[-1]))
    assert again.history("command") == ["keys"]
    assert again.saved_filters("connections") == {"worst": "format:plaintext"}
    assert again.order("connections") == Order("org", descending=True)
    assert again.columns("connections") == Columns(("org", "key"), {"org": 9})
    assert again.interval("status") == 0
    assert again.theme == "ansi-dark"


def test_a_history_is_bounded_and_holds_each_text_once() -> None:
    memory = Memory()
    for n in range(KEPT + 30):
        memory.remember("command", f"command {n}")
    memory.remember("command", "command 60")
    memory.remember("command", "")
    assert len(memory.history("command")) == KEPT
    assert memory.history("command")[-1] == "command 60"
    assert memory.history("command").count("command 60") == 1


@given(
    st.sampled_from([*(p for ps in PROVIDER_PREFIXES.values() for p in ps), *STORED_PREFIXES.values()]),
    st.text(max_size=20),
    st.text(max_size=20),
)
def test_nothing_in_which_a_token_may_stand_is_remembered(prefix: str, before: str, after: str) -> None:
    text = before + prefix + after
    memory = Memory()
    memory.remember("filter connections", text)
    assert not may_be_remembered(text)
    assert memory.history("filter connections") == []
    assert not memory.save_filter("connections", "name", text)
    assert not memory.save_filter("connections", text, "org:acme")
    assert memory.saved_filters("connections") == {}
    assert not may_be_remembered("w" * 2001)

"""What the console remembers, what it refuses to remember, and how it steps through what was typed."""

from __future__ import annotations

import json
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_core.envelope import PROVIDER_PREFIXES, STORED_PREFIXES
from screens.memory import KEPT, KEPT_DAYS, KEPT_PLACES, DayCount, Memory, SortOrder, may_be_remembered
from screens.widgets.line_input import InputHistory

SECTIONS = ("history", "filters", "orders", "columns", "looks", "counts", "other")
PREFIXES = [*(p for ps in PROVIDER_PREFIXES.values() for p in ps), *STORED_PREFIXES.values()]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
hostile = st.dictionaries(
    st.sampled_from(SECTIONS),
    json_values | st.dictionaries(st.sampled_from(["connections", "theme", "x"]), json_values),
)


@given(hostile)
def test_whatever_is_in_the_file_what_is_not_understood_is_left_out(content: dict[str, Any]) -> None:
    kept: list[dict[str, Any]] = []
    memory = Memory(content, kept.append)
    for name in ("connections", "x"):
        assert all(isinstance(text, str) for text in memory.history(name))
        assert all(isinstance(t, str) for pair in memory.saved_filters(name).items() for t in pair)
        order = memory.order(name)
        assert isinstance(order.sort, str)
        assert isinstance(order.descending, bool)
        assert all(isinstance(c, str) for c in memory.columns(name))
        assert all(0 <= one.protected <= one.tokens for one in memory.day_counts(name))
    assert isinstance(memory.theme, str)
    memory.remember_day_count("x", DayCount(date(2026, 7, 1), 9, 8))
    assert DayCount(date(2026, 7, 1), 9, 8) in memory.day_counts("x")
    memory.remember("connections", "org:acme")
    assert memory.history("connections")[-1] == "org:acme"
    assert memory.save_filter("connections", "mine", "org:acme")
    assert memory.saved_filters("connections")["mine"] == "org:acme"
    memory.remember_order("connections", SortOrder("org", descending=True))
    assert memory.order("connections") == SortOrder("org", descending=True)
    memory.remember_columns("connections", ("org",))
    assert memory.columns("connections") == ("org",)
    saved = json.dumps(kept[-1])
    assert json.dumps(json.loads(saved)) == saved


def test_a_day_has_its_last_count_and_what_is_long_past_is_dropped() -> None:
    kept: list[dict[str, Any]] = []
    memory = Memory({}, kept.append)
    for number in range(KEPT_DAYS + 5):
        memory.remember_day_count("tokens@pg-1", DayCount(date(2026, 1, 1) + timedelta(number), 9, 1))
    last = DayCount(date(2026, 1, 1) + timedelta(KEPT_DAYS + 4), 9, 9)
    memory.remember_day_count("tokens@pg-1", last)
    found = memory.day_counts("tokens@pg-1")
    assert len(found) == KEPT_DAYS
    assert found[-1] == last
    writes = len(kept)
    memory.remember_day_count("tokens@pg-1", last)
    memory.remember_day_count("ghp_" + "a" * 36, last)
    assert len(kept) == writes
    for number in range(KEPT_PLACES + 5):
        memory.remember_day_count(f"place-{number}", last)
    assert len(kept[-1]["counts"]) == KEPT_PLACES
    assert memory.day_counts("tokens@pg-1") == ()


def test_a_text_where_a_list_is_expected_is_no_history() -> None:
    assert Memory({"history": {"command": "status"}}).history("command") == []


def test_what_is_remembered_is_there_again_for_whoever_is_given_what_was_saved() -> None:
    kept: list[dict[str, Any]] = []
    memory = Memory(save=kept.append)
    memory.remember("command", "keys")
    memory.save_filter("connections", "risky", "format:plaintext,dev")
    memory.remember_order("connections", SortOrder("org", descending=True))
    memory.remember_columns("connections", ("org", "format"))
    memory.remember_theme("keydeck-light")
    again = Memory(json.loads(json.dumps(kept[-1])))
    assert again.history("command") == ["keys"]
    assert again.saved_filters("connections") == {"risky": "format:plaintext,dev"}
    assert again.order("connections") == SortOrder("org", descending=True)
    assert again.columns("connections") == ("org", "format")
    assert again.theme == "keydeck-light"
    assert again.order("keys") == SortOrder()
    again.forget_filter("connections", "risky")
    assert again.saved_filters("connections") == {}


def test_a_history_holds_each_text_once_and_no_more_than_a_hundred() -> None:
    memory = Memory()
    for n in range(KEPT + 20):
        memory.remember("command", f"filter org:{n}")
    memory.remember("command", "filter org:50")
    memory.remember("command", "")
    history = memory.history("command")
    assert len(history) == KEPT
    assert history[-1] == "filter org:50"
    assert history.count("filter org:50") == 1
    assert history[0] == "filter org:20"


@pytest.mark.parametrize("prefix", PREFIXES)
@given(st.text(max_size=20), st.text(max_size=20))
def test_no_text_in_which_a_token_or_an_envelope_may_stand_is_ever_kept(
    prefix: str, before: str, after: str
) -> None:
    kept: list[dict[str, Any]] = []
    memory = Memory(save=kept.append)
    text = before + prefix + after
    assert not may_be_remembered(text)
    memory.remember("filter connections", f"provider:github {text}")
    memory.remember("command", text)
    assert not memory.save_filter("connections", "name", f'"{text}"')
    assert not memory.save_filter("connections", text, "org:acme")
    assert kept == []
    assert memory.history("command") == memory.history("filter connections") == []
    assert memory.saved_filters("connections") == {}


def test_a_huge_text_is_not_kept() -> None:
    memory = Memory()
    memory.remember("command", "x" * 2001)
    assert memory.history("command") == []
    assert not memory.save_filter("connections", "huge", "x" * 2001)
    assert not memory.save_filter("connections", "", "org:acme")


def test_what_is_being_typed_waits_at_the_end_of_the_history() -> None:
    recall = InputHistory(["first", "second"])
    assert recall.step(-1, "typing") == "second"
    assert recall.step(-1, "second") == "first"
    assert recall.step(-1, "first") == "first"
    assert recall.step(1, "first changed") == "second"
    assert recall.step(1, "second") == "typing"
    assert recall.step(1, "typing more") == "typing more"
    assert recall.step(-1, "typing more") == "second"
    assert recall.step(-1, "second") == "first changed"


def test_without_a_history_what_is_typed_stays() -> None:
    recall = InputHistory(())
    assert recall.step(-1, "typing") == "typing"
    assert recall.step(1, "typing") == "typing"


@given(st.lists(st.text(min_size=1, max_size=5)), st.lists(st.sampled_from([-1, 1]), max_size=20), st.text())
def test_recalling_never_loses_what_is_being_typed(history: list[str], steps: list[int], typed: str) -> None:
    recall = InputHistory(history)
    shown, at = typed, len(history)
    for step in steps:
        shown = recall.step(step, shown)
        at = min(max(at + step, 0), len(history))
        assert shown == (typed if at == len(history) else history[at])

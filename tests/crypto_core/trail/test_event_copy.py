"""A copy in Parquet answers as the store does: the same language, the same counts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_core.lists.filter_language import terms_of
from crypto_core.lists.paging import Query
from crypto_core.trail.event_fields import EVENT_FIELDS, PIVOTS
from crypto_core.trail.parquet.event_copy import EventCopy
from crypto_core.trail.parquet.export import NoCopyError, export_events
from crypto_core.trail.query import is_of_record, parse
from crypto_core.trail.store import EventStore
from crypto_core.trail.store.statistics import FIELDS as STATISTICS
from crypto_core.trail.store.statistics import GroupsQuestion, Threshold
from crypto_core.values.errors import InvalidFilterError, KeydeckError, TrailError
from tests.crypto_core.trail.conftest import ALIASES
from tests.crypto_core.trail.records import NOW
from tests.crypto_core.trail.test_query import _FILTERS, EXAMPLES, SAMPLE, expected
from tests.lanes import examples

UNASKED = ("reviewed", "noted", "receipt", "explained")


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EventStore]:
    store = EventStore(
        tmp_path_factory.mktemp("events") / "e.sqlite", aliases=lambda: ALIASES, clock=lambda: NOW
    )
    store.add(SAMPLE)
    yield store
    store.close()


@pytest.fixture(scope="module")
def folder(filled: EventStore, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("lake") / "copy"
    export_events(filled, made, at=NOW)
    return made


@pytest.fixture(scope="module")
def copy(folder: Path) -> Iterator[EventCopy]:
    made = EventCopy(folder, aliases=lambda: ALIASES, clock=lambda: NOW)
    yield made
    made.close()


def ids(copy: EventCopy, query: Query, limit: int = 0) -> list[str]:
    return [stored.event.event_id for page in copy.pages(query, limit=limit) for stored in page]


def agrees(copy: EventCopy, expression: str) -> None:
    """It lets through what memory does, or refuses what it can't be asked."""
    named = {term.field or "" for term in terms_of(parse(expression, NOW))}
    if any(name in UNASKED or is_of_record(name) for name in named):
        with pytest.raises(InvalidFilterError, match="A copy in Parquet can't be asked for"):
            ids(copy, Query(expression))
        return
    found = ids(copy, Query(expression))
    assert set(found) == expected(expression)
    assert len(found) == copy.summary(expression).events
    regions, _ = copy.groups(GroupsQuestion(("region",)), expression)
    assert regions.events == len(found)


@pytest.mark.parametrize("expression", EXAMPLES)
def test_the_copy_lets_through_what_the_language_means(copy: EventCopy, expression: str) -> None:
    agrees(copy, expression)


@given(st.just("") | _FILTERS)
@settings(max_examples=examples(100))
def test_any_filter_means_the_same_in_the_copy_and_in_memory(copy: EventCopy, expression: str) -> None:
    agrees(copy, expression)


@pytest.mark.parametrize("field", PIVOTS)
def test_values_are_those_of_the_store(copy: EventCopy, filled: EventStore, field: str) -> None:
    for expression in ("", "failed OR name:ReEncrypt", "name:Nothing"):
        question = GroupsQuestion((field, "region"), limit=1_000, valued=True)
        mine, _ = copy.groups(question, expression)
        its = filled.tally((field, "region"), f"({expression or 'id:*'}) {field}:* region:*", limit=1_000)
        assert set(mine.rows) == set(its.rows)
        assert (mine.others, mine.rest) == (0, 0)
        few = copy.groups(replace(question, limit=2), expression)[0]
        assert (len(few.rows) + few.others, few.events) == (len(its.rows), its.events)


_THRESHOLDS = st.builds(
    Threshold,
    st.sampled_from(["count", "failed", "denied", "distinct"]),
    st.sampled_from([">", ">=", "<", "<=", "="]),
    st.integers(0, 6),
)


@given(
    st.lists(st.sampled_from(STATISTICS), unique=True, min_size=1, max_size=3),
    st.sampled_from(
        ["", "-service", "failed", "since:7h -service", "hour:22..06", "token:*", "name:Nothing"]
    ),
    st.sampled_from(["token", "ip", "day", "hour", "key"]),
    st.lists(_THRESHOLDS, max_size=2),
)
@settings(max_examples=examples(100))
def test_statistics_are_those_of_the_store(
    copy: EventCopy,
    filled: EventStore,
    fields: list[str],
    expression: str,
    distinct: str,
    thresholds: list[Threshold],
) -> None:
    question = GroupsQuestion(tuple(fields), distinct, tuple(thresholds), 1_000)
    mine, hidden = copy.groups(question, expression)
    its = filled.groups(question, expression)
    assert set(mine.rows) == set(its.rows)
    assert (mine.others, mine.rest, hidden) == (0, 0, filled.summary(expression).hidden_service_events)
    few, same = copy.groups(replace(question, limit=2), expression)
    assert (few.rows, same) == (mine.rows[:2], hidden)
    assert (few.others, few.rest) == (max(len(its.rows) - 2, 0), sum(r.events for r in mine.rows[2:]))


def test_all_events_together_are_a_group_and_none_are_no_group(copy: EventCopy, filled: EventStore) -> None:
    for expression in ("", "name:Nothing", "name:Nothing -service"):
        question = GroupsQuestion((), "token")
        assert copy.groups(question, expression)[0] == filled.groups(question, expression)


def test_a_field_that_there_is_not_is_named(copy: EventCopy) -> None:
    for wrong in (("nme\x1b[31m",), ("name", '"; DROP')):
        with pytest.raises(KeydeckError, match=r"nme|DROP"):
            copy.groups(GroupsQuestion(wrong))


def test_hidden_events_of_services_are_counted(copy: EventCopy, filled: EventStore) -> None:
    for expression in ("-service", "name:Decrypt -service", "service", "name:Nothing -service"):
        assert copy.summary(expression) == filled.summary(expression)


def test_pages_come_in_the_order_of_time_and_end_at_the_limit(copy: EventCopy, filled: EventStore) -> None:
    times = [one.event.time for page in copy.pages(Query("", "time", descending=True)) for one in page]
    assert times == sorted(times, reverse=True)
    few = [one for page in copy.pages(Query("", "time", descending=True), limit=5) for one in page]
    assert [one.event.time for one in few] == times[:5]
    assert filled.event(few[0].event.event_id).event == few[0].event


def test_what_is_no_copy_or_damaged_is_told(tmp_path: Path, folder: Path, filled: EventStore) -> None:
    with pytest.raises(NoCopyError, match="no copy of events"):
        EventCopy(tmp_path)
    export_events(filled, tmp_path / "none", "name:Nothing", at=NOW)
    with pytest.raises(NoCopyError, match="no events"):
        EventCopy(tmp_path / "none").summary("")
    export_events(filled, tmp_path / "bad", at=NOW)
    next((tmp_path / "bad").rglob("*.parquet")).write_bytes(b"\x1b[31m[/red]")
    with pytest.raises(TrailError, match="DuckDB can't read the copy") as caught:
        EventCopy(tmp_path / "bad").summary("")
    assert "\x1b" not in caught.value.message


def test_a_copy_of_an_older_keydeck_is_asked_for_what_it_has(
    tmp_path: Path, filled: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    import duckdb

    made, youngest = tmp_path / "copy", max(EVENT_FIELDS, key=lambda name: EVENT_FIELDS[name].kind)
    export_events(filled, made, "name:PutKeyPolicy", at=NOW)
    monkeypatch.setattr("crypto_core.trail.parquet.export._BEFORE", 16)
    for path in list(made.rglob("*.parquet")):
        duckdb.sql(f"SELECT * EXCLUDE ({youngest}) FROM '{path}'").write_parquet(
            str(tmp_path / "new.parquet")
        )
        (tmp_path / "new.parquet").replace(path)
    copy = EventCopy(made, clock=lambda: NOW)
    assert ids(copy, Query("endpoint:vpce-1")) == ids(copy, Query("PutKeyPolicy")) != []
    assert copy.groups(GroupsQuestion(("endpoint",)))[0].events == 1
    with pytest.raises(InvalidFilterError, match=f"can't be asked for {youngest}"):
        ids(copy, Query(f"{youngest}:x"))
    with pytest.raises(NoCopyError, match=f"before Keydeck knew the field {youngest}"):
        copy.groups(GroupsQuestion((youngest,)))
    with pytest.raises(NoCopyError, match="a copy by an older version"):
        export_events(filled, made, "name:PutKeyPolicy", at=NOW)


def test_what_a_copy_holds_is_clean_whoever_wrote_it(tmp_path: Path, filled: EventStore) -> None:
    import duckdb

    made = tmp_path / "copy"
    export_events(filled, made, "name:StopLogging", at=NOW)
    (path,) = made.rglob("*.parquet")
    hostile = "\x1b[31m[/red]\u202e"
    rows: Any = duckdb.sql(f"SELECT * REPLACE ('{hostile}' AS name, 'no record' AS raw) FROM '{path}'")
    rows.write_parquet(str(tmp_path / "new.parquet"))
    (tmp_path / "new.parquet").replace(path)
    copy = EventCopy(made)
    assert copy.groups(GroupsQuestion(("name",)))[0].rows[0].texts == ("[31m[/red]",)
    with pytest.raises(TrailError, match="is no event"):
        ids(copy, Query())

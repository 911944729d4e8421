"""The store: each event once, pages that miss and repeat nothing, counts that agree with the events."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections import Counter
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread, Timer

import pytest

from crypto_core.lists.paging import Cursor, Query
from crypto_core.trail.event import TrailEvent
from crypto_core.trail.record_compression import pack, unpack, without
from crypto_core.trail.store import EventStore, StoredEvent, dialect
from crypto_core.trail.store.schema import VERSION
from crypto_core.values.errors import EventStoreError, EventVanishedError, InterruptedRunError, KeydeckError
from tests.crypto_core.trail.records import (
    KEY,
    NOW,
    OTHER_KEY,
    S3_CONTEXT,
    context,
    denied,
    event,
    read,
    record,
    role,
    user,
)

NEWEST = Query("", "time", descending=True)


def test_an_event_is_stored_once_however_often_it_comes(store: EventStore) -> None:
    one, other = event(), event()
    first = store.add([one, one, other])
    again = store.add([other, one])
    assert (first.new, first.duplicates, first.kms) == (2, 1, 2)
    assert (again.new, again.duplicates) == (0, 2)
    assert store.count(NEWEST) == 2
    assert store.pivot("name").values[0].events == 2


@pytest.mark.parametrize("together", [True, False])
def test_a_record_with_the_id_of_another_hides_it_only_at_its_own_time(
    store: EventStore, together: bool
) -> None:
    one, forged = event(eventID="same"), event(ago=90_000, who=user("intruder"), eventID="same")
    same_day = event(ago=1, who=user("intruder"), eventID="same")
    for batch in [[one, forged, same_day, one]] if together else [[one], [forged], [same_day], [one]]:
        store.add(batch)
    assert store.count(Query()) == store.count(Query("id:same")) == 3
    assert store.count(Query("same principal:*intruder")) == 2
    assert store.event("same").event == one
    assert store.review(["same"], "ana") == 3


def test_an_event_comes_back_as_it_was_read(store: EventStore) -> None:
    one = event(context=context("gh-42"), who=user("ana"))
    store.add([one])
    found = store.event(one.event_id)
    assert found.event == one
    assert found.event.raw == one.raw


def test_an_event_that_is_not_there_is_told(store: EventStore) -> None:
    with pytest.raises(EventVanishedError, match="no event 'nothing'"):
        store.event("nothing")


@pytest.mark.parametrize(
    "event_id", ["0" * 36, "x" * 36, "A" * 8, "=", "ABCDEF12-0000-0000-0000-000000000000"]
)
def test_ids_that_are_no_uuids_are_kept_apart(store: EventStore, event_id: str) -> None:
    store.add([event(eventID=event_id), event(eventID=event_id.lower() + "~")])
    assert store.event(event_id).event.event_id == event_id


def test_the_file_is_the_operators_alone(store: EventStore) -> None:
    store.add([event()])
    assert stat.S_IMODE(store.file.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(store.file.path.parent.stat().st_mode) == 0o700


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "there").write_bytes(b"")
    (tmp_path / "link").symlink_to(tmp_path / "there")
    with pytest.raises(EventStoreError, match="not a plain file of yours"):
        EventStore(tmp_path / "link").count(NEWEST)


def test_a_file_that_is_no_store_is_told_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(b"my notes " * 500)
    with pytest.raises(EventStoreError, match="damaged, or no event store"):
        EventStore(path).count(NEWEST)
    assert path.read_bytes() == b"my notes " * 500


def test_a_store_of_a_newer_keydeck_is_not_opened(store: EventStore) -> None:
    store.add([event()])
    store.close()
    with closing(sqlite3.connect(store.file.path)) as connection, connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(EventStoreError, match="newer Keydeck"):
        store.count(NEWEST)


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EventStoreError):
        EventStore(tmp_path / "file" / "events.sqlite").count(NEWEST)


def test_a_damaged_record_is_told_by_its_number(store: EventStore) -> None:
    store.add([event()])
    with closing(sqlite3.connect(store.file.path)) as connection, connection:
        connection.execute("UPDATE raw SET body = x'02'")
    connection.close()
    with pytest.raises(EventStoreError, match="record 1 is damaged"):
        store.page(NEWEST)


def many(count: int, step: int = 37) -> list[TrailEvent]:
    """Events of three principals under two keys, one in eleven denied, so many seconds apart."""
    who = (role(), user("ana"), user("intruder"))
    return [
        read(
            denied(ago=n * step, who=user())
            if n % 11 == 0
            else record(
                "Decrypt" if n % 3 else "GenerateDataKey",
                ago=n * step,
                who=who[n % 3],
                key=(KEY, OTHER_KEY)[n % 2],
            )
        )
        for n in range(count)
    ]


@pytest.mark.quick(4)
@pytest.mark.parametrize("descending", [True, False])
@pytest.mark.parametrize(
    "expression", ["", "name:Decrypt", "principal:*intruder*", "error:*", "session:api-*", "since:3h"]
)
def test_pages_give_every_event_once_and_in_order(
    store: EventStore, expression: str, descending: bool
) -> None:
    store.add(many(700))
    store.add(many(5, step=0))
    query = Query(expression, "time", descending)
    found: list[StoredEvent] = []
    cursor: Cursor | None = None
    while True:
        page = store.page(query, cursor, limit=50)
        assert page.above is (cursor is not None)
        found += page.rows
        if not page.below:
            break
        cursor = page.last
    assert len(found) == store.count(query) > 0
    assert len({one.number for one in found}) == len(found)
    order = [(one.event.time, one.number) for one in found]
    assert order == sorted(order, reverse=descending)


@pytest.mark.parametrize("descending", [True, False])
def test_pages_go_backwards_over_the_same_rows(store: EventStore, descending: bool) -> None:
    store.add(many(300))
    query = Query("-name:GenerateDataKey", "time", descending)
    forwards: list[int] = []
    cursor = None
    while True:
        page = store.page(query, cursor, limit=40)
        forwards += [one.number for one in page.rows]
        if not page.below:
            break
        cursor = page.last
    backwards: list[int] = []
    cursor = None
    while True:
        page = store.page(query, cursor, limit=40, backwards=True)
        assert page.below is (cursor is not None)
        backwards = [one.number for one in page.rows] + backwards
        if not page.above:
            break
        cursor = page.first
    assert backwards == forwards


def test_a_page_can_begin_with_the_row_itself(store: EventStore) -> None:
    store.add(many(20))
    page = store.page(NEWEST, limit=5)
    again = store.page(NEWEST, page.last, inclusive=True, limit=5)
    assert again.rows[0] == page.rows[-1]
    assert again.above


def test_there_is_no_other_order_than_that_of_time(store: EventStore) -> None:
    with pytest.raises(KeydeckError, match="no order 'principal'"):
        store.page(Query("", "principal"))


@pytest.mark.quick(3)
@pytest.mark.parametrize(
    "expression",
    ["", "since:5h until:90m", "-human", "denied", "session:api-1", "name:Decrypt key:alias/tokens"],
)
def test_counts_histogram_and_pivots_agree_with_the_events(store: EventStore, expression: str) -> None:
    store.add(many(900))
    rows = store.page(Query(expression), limit=1_000).rows
    assert store.count(Query(expression)) == len(rows) > 0
    for bars in (1, 7, 60, 2_000):
        histogram = store.histogram(expression, bars=bars)
        assert histogram is not None
        assert histogram.total == len(rows)
        assert len(histogram.bars) <= bars
        assert sum(bar.failed for bar in histogram.bars) == sum(one.event.failed for one in rows)
        for bar in histogram.bars:
            inside = [
                one for one in rows if bar.at <= one.event.time.timestamp() < bar.at + histogram.seconds
            ]
            assert bar.events == len(inside)
    by_principal = Counter(one.event.principal.arn for one in rows)
    assert {v.text: v.events for v in store.pivot("principal", expression).values} == by_principal
    by_key = Counter(arn for one in rows for arn in one.event.key_arns)
    assert {v.text: v.events for v in store.pivot("key", expression).values} == by_key
    for value in store.pivot("key", expression).values:
        times = [one.event.time for one in rows if value.text in one.event.key_arns]
        assert (value.first, value.last) == (min(times).timestamp(), max(times).timestamp())
    for value in store.pivot("name", expression).values:
        times = [one.event.time for one in rows if one.event.name == value.text]
        assert (value.first, value.last) == (min(times).timestamp(), max(times).timestamp())
    whole = store.summary(expression)
    times = [one.event.time for one in rows]
    assert (whole.first, whole.last) == (min(times), max(times))


def test_a_pivot_tells_what_it_leaves_out(store: EventStore) -> None:
    store.add([event(sourceIPAddress=f"10.0.0.{n}", ago=n) for n in range(30)])
    pivot = store.pivot("ip", limit=10)
    assert (len(pivot.values), pivot.others, pivot.rest) == (10, 20, 20)


def test_an_event_about_two_keys_counts_for_both(store: EventStore) -> None:
    store.add([event("ReEncrypt", resources=[{"ARN": KEY}, {"ARN": OTHER_KEY}]), event()])
    assert {v.text: v.events for v in store.pivot("key").values} == {KEY: 2, OTHER_KEY: 1}
    assert store.count(Query(f"key:{OTHER_KEY}")) == 1


def test_hidden_service_events_are_counted(store: EventStore) -> None:
    hidden = [event(sourceIPAddress=ip, context=S3_CONTEXT) for ip in ("s3.amazonaws.com", "AWS Internal")]
    store.add([event(), *hidden])
    summary = store.summary("name:Decrypt -service")
    assert (summary.events, summary.hidden_service_events) == (1, 2)
    assert store.summary("name:Decrypt").hidden_service_events == 0


def test_years_one_and_9999_harm_nothing(store: EventStore) -> None:
    store.add([event(eventTime=text) for text in ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "x")])
    page = store.page(NEWEST)
    assert [one.event.time.year for one in page.rows] == [9999, 1, 1]
    histogram = store.histogram(bars=50)
    assert histogram is not None
    assert histogram.total == 3
    summary = store.summary("")
    assert summary.first is not None
    assert summary.last is not None
    assert (summary.first.year, summary.last.year) == (1, 9999)


def test_reviews_and_notes_stay_with_the_event(store: EventStore) -> None:
    one, other = event(), event(ago=5)
    store.add([one, other])
    assert store.review([one.event_id, "nothing"], "ana") == 1
    store.annotate(other.event_id, "ours:\x1b[2J the drill", "ben")
    assert store.count(Query("reviewed")) == 1
    assert store.count(Query("-reviewed noted")) == 1
    found = store.event(other.event_id)
    assert (found.note, found.noted_by, found.noted_at) == ("ours:[2J the drill", "ben", NOW)
    assert store.event(one.event_id).reviewed_at == NOW
    store.review([one.event_id], "ana", reviewed=False)
    store.annotate(other.event_id, "", "ben")
    assert store.count(Query("reviewed")) == store.count(Query("noted")) == 0
    with pytest.raises(EventVanishedError):
        store.annotate("nothing", "x", "ana")


def test_old_events_are_forgotten_but_those_with_a_note(store: EventStore) -> None:
    hours = [event(ago=timedelta(minutes=20 * n)) for n in range(300)]
    store.add(hours)
    store.annotate(hours[250].event_id, "keep", "ana")
    done = store.forget_before(2)
    left = [n for n in range(300) if n <= 144 or n == 250]
    assert done.forgotten == 300 - len(left)
    assert store.count(Query("")) == len(left) == sum(v.events for v in store.pivot("name").values)
    assert store.count(Query("", "time")) == len(store.page(Query(""), limit=500).rows)
    assert store.add(hours).new == done.forgotten


def test_records_of_forgotten_events_are_gone_and_the_others_are_whole(store: EventStore) -> None:
    """Whatever blocks they stood in, also where numbers are given a second time."""
    ages = [(n * 37) % 100 for n in range(300)]
    events = [event(ago=timedelta(hours=age), eventID=f"one-{n}") for n, age in enumerate(ages)]
    store.add(events)
    store.annotate("one-290", "keep", "ana")
    store.forget_before(2)
    later = [event(eventID=f"other-{n}") for n in range(40)]
    store.add(later)
    kept = {e.event_id: e.raw for e, age in zip(events, ages, strict=True) if age <= 48}
    kept |= {e.event_id: e.raw for e in (events[290], *later)}
    assert {row.event.event_id: row.event.raw for row in store.page(Query(), limit=1_000).rows} == kept
    with closing(sqlite3.connect(store.file.path)) as file, file:
        records = [r for (body,) in file.execute("SELECT body FROM raw") for r in unpack(body) if r]
    assert sorted(records) == sorted(kept.values())
    for event_id, raw in kept.items():
        assert store.event(event_id).event.raw == raw


def test_a_store_with_a_block_for_each_record_is_read_and_gone_on_with(store: EventStore) -> None:
    """As Keydeck's first stores have them; also where it can't be written."""
    first = many(40)
    store.add(first)
    store.close()
    with closing(sqlite3.connect(store.file.path)) as file, file:
        blocks = file.execute("SELECT id, body FROM raw").fetchall()
        file.execute("DELETE FROM raw")
        for number, body in blocks:
            for place, one in enumerate(unpack(body)):
                ((_, line),) = pack([one])
                file.execute("INSERT INTO raw VALUES (?, ?)", (number + place, b"\x01" + line[1:]))
        file.execute("PRAGMA user_version = 1")
    raws = {one.event_id: one.raw for one in first}
    reader = EventStore(store.file.path, read_only=True)
    assert {row.event.event_id: row.event.raw for row in reader.page(Query(), limit=100).rows} == raws
    reader.close()
    second = [event(eventID=f"more-{n}") for n in range(30)]
    store.add(second)
    raws |= {one.event_id: one.raw for one in second}
    assert {row.event.event_id: row.event.raw for row in store.page(Query(), limit=100).rows} == raws
    with closing(sqlite3.connect(store.file.path)) as file, file:
        assert file.execute("PRAGMA user_version").fetchone() == (VERSION,)


def test_nothing_is_forgotten_where_events_are_kept_for_ever(store: EventStore) -> None:
    store.add([event(ago=timedelta(days=4000))])
    assert store.forget_before(0).forgotten == 0
    assert store.count(NEWEST) == 1


def test_the_state_changes_with_what_is_added_and_noted(store: EventStore) -> None:
    states = [store.state()]
    one = event()
    store.add([one])
    states.append(store.state())
    store.review([one.event_id], "ana")
    states.append(store.state())
    assert len(set(states)) == 3


def test_texts_that_another_process_forgot_are_numbered_anew(store: EventStore) -> None:
    store.add([event(sourceIPAddress="192.0.2.1", ago=timedelta(days=9))])
    other = EventStore(store.file.path, clock=lambda: NOW)
    other.forget_before(2)
    other.add([event(sourceIPAddress="203.0.113.9")])
    other.close()
    store.add([event(sourceIPAddress="192.0.2.1")])
    assert {v.text for v in store.pivot("ip").values} == {"192.0.2.1", "203.0.113.9"}
    assert store.count(Query("ip:192.0.2.1")) == 1


def test_a_store_that_another_process_holds_is_told(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialect, "_WAIT_SECONDS", 0.05)
    store.add([event()])
    store.close()
    holder = sqlite3.connect(store.file.path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(EventStoreError, match="being written by another process"):
        store.add([event()])
    assert store.count(NEWEST) == 1
    holder.close()
    store.add([event()])
    assert store.count(NEWEST) == 2


def test_a_query_that_nobody_waits_for_ends(store: EventStore) -> None:
    store.add(many(50))
    cancelled = Event()
    cancelled.set()
    for call in (
        lambda: store.page(NEWEST, cancelled=cancelled),
        lambda: store.count(NEWEST, cancelled=cancelled),
        lambda: store.pivot("ip", cancelled=cancelled),
    ):
        with pytest.raises(InterruptedRunError):
            call()
    assert store.count(NEWEST) == 50


def test_two_stores_of_one_file_add_at_the_same_time(store: EventStore) -> None:
    events = many(600)
    other = EventStore(store.file.path)
    threads = [
        Thread(target=lambda s=s, part=part: [s.add(part[n : n + 20]) for n in range(0, len(part), 20)])
        for s, part in ((store, events), (other, list(reversed(events))))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other.close()
    assert store.count(NEWEST) == 600
    assert sum(v.events for v in store.pivot("principal").values) == 600


def test_a_new_store_is_opened_while_another_process_writes_its_file(tmp_path: Path) -> None:
    """SQLite refuses the write-ahead log at once then, however long a connection would wait."""
    path = tmp_path / "new"
    path.touch(mode=0o600)
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        done = Timer(0.2, other.commit)
        done.start()
        store = EventStore(path)
        assert store.add([event()]).new == 1
        store.close()
        done.join()


def test_records_are_packed_small_and_whole() -> None:
    records = [event().raw, b"", b"\x00" * 100_000, os.urandom(20_000), b'{\n"a": 1}', event().raw]
    for some in (records, records[:1], [], [event().raw] * 40, [b""] * 20):
        blocks = pack(some)
        assert [record for _, block in blocks for record in unpack(block)] == some
        for place, block in blocks:
            assert unpack(block)[0] == some[place]
    ((_, block),) = pack([event().raw])
    assert len(block) < len(event().raw) / 3
    for broken in (b"", b"\x02abc", block[:1] + b"zz", block[:40], b"\x03" + block[1:]):
        with pytest.raises(ValueError, match=r"not a block of records|not packed with"):
            unpack(broken)


def test_what_is_left_of_a_block_stays_in_its_place() -> None:
    records = [b"%d" % n for n in range(5)]
    ((_, block),) = pack(records)
    assert unpack(without(block, {1, 3})) == [b"", b"1", b"", b"3", b""]
    ((_, block),) = pack([b"one\ntwo"])
    assert unpack(without(block, {0})) == [b"one\ntwo"]

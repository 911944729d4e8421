"""Receipts in the store: joined to calls in whichever order the two come, each once, forgotten with them."""

from __future__ import annotations

import itertools
import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import uuid4

import pytest

from crypto_core.aws.receipts.receipt import LostReceipts, Receipt, ReceiptProcess
from crypto_core.lists.paging import Query
from crypto_core.trail.event import TrailEvent
from crypto_core.trail.receipt_match import subject_of, subject_text
from crypto_core.trail.store import EventStore, receipt_questions
from crypto_core.trail.store.schema import VERSION
from crypto_core.trail.term_sql import Bounds
from crypto_core.trail.use.tokens import UNNAMED
from crypto_core.values.clean_text import clean
from tests.crypto_core.trail.records import NOW, denied, event, read, role, user

REF = "gh_connection.access_token:gh-1"
PROCESS = ReceiptProcess(clean("api-1"), 4711, clean("api"))
SHA = "ab" * 32


def receipt(
    of: TrailEvent, token: str | None = REF, *, after: float = 0.2, stored: str | None = None, **more: object
) -> Receipt:
    """The receipt that its caller wrote of a call."""
    told = Receipt(
        of.request_id, of.name, of.time + timedelta(seconds=after), token and clean(token), stored, PROCESS
    )
    return replace(told, **more)  # type: ignore[arg-type]


def called(ago: float = 60, **more: object) -> TrailEvent:
    return event(ago=ago, **{"requestID": str(uuid4()), **more})


def numbers(store: EventStore, *filters: str) -> list[int]:
    """How many events pass each filter; counted by the hour and one by one, the two agree."""
    found = [store.count(Query(expression)) for expression in filters]
    tallied = [store.tally((), expression).events for expression in filters]
    assert found == tallied
    return found


@pytest.mark.parametrize("first", ["events", "receipts", "mixed"])
def test_a_receipt_explains_its_call_whichever_of_the_two_comes_first(store: EventStore, first: str) -> None:
    events = [called(ago=n * 3_000) for n in range(12)]
    told = [receipt(one, f"gh_connection.access_token:gh-{n}") for n, one in enumerate(events[:9])]
    steps = {
        "events": [lambda: store.add(events), lambda: store.add_receipts(told)],
        "receipts": [lambda: store.add_receipts(told), lambda: store.add(events)],
        "mixed": [
            *(lambda: store.add(events[:5]), lambda: store.add_receipts(told[3:])),
            *(lambda: store.add(events[5:]), lambda: store.add_receipts(told[:3])),
        ],
    }
    for step in steps[first]:
        step()
    assert numbers(store, "receipt:*", "-receipt:*", "explained", "-explained") == [9, 3, 9, 3]
    assert numbers(store, f"receipt:{REF}", f"-receipt:{REF}", "receipt:gh-*", UNNAMED) == [1, 11, 0, 3]
    again = store.add_receipts([*told, *told])
    assert (again.new, again.duplicates, again.explained) == (0, 18, 0)
    store.add(events)
    assert numbers(store, "", "explained") == [12, 9]
    with closing(sqlite3.connect(store.file.path)) as database:
        counted = database.execute("SELECT sum(events), min(events) FROM rollup").fetchone()
    assert counted == (12, 1)


def test_a_call_of_no_named_token_is_explained_and_stays_possible_for_each(store: EventStore) -> None:
    one, other = called(), called()
    store.add([one, other])
    store.add_receipts([receipt(one, None), receipt(other, None, stored=SHA)])
    assert numbers(store, "explained", "receipt:*", f"receipt:{SHA}", UNNAMED) == [2, 1, 1, 1]
    found = store.receipt_subjects("principal:*")
    assert [(s.token, s.sha256, s.calls) for s in found.rows] == [("", "", 1), ("", SHA, 1)]
    assert (found.others, found.rest) == (0, 0)
    (value,) = store.receipt_subjects("principal:*", values_only=True).rows
    assert value.sha256 == SHA
    assert store.receipt_subjects("principal:*", limit=1).rest == 1
    store.add_receipts([receipt(one)])
    assert numbers(store, "receipt:*", UNNAMED, f"receipt:{REF}") == [2, 0, 1]


def test_what_the_record_contradicts_explains_nothing_and_is_told(store: EventStore) -> None:
    moved, renamed, late, early, fine = (called(ago=600) for _ in range(5))
    store.add([moved, renamed, late, early, fine])
    store.add_receipts(
        [
            receipt(renamed, operation=clean("ReEncrypt")),
            receipt(late, after=301),
            receipt(early, after=-299),
            receipt(moved, after=86_000),
            receipt(fine),
        ]
    )
    assert numbers(store, "explained") == [2]
    with store.file.reading() as connection:
        found = receipt_questions.contradictions(connection, Bounds(), 10)
    assert sorted((one.called, one.told) for one in found) == [
        *(("Decrypt", "Decrypt"), ("Decrypt", "Decrypt"), ("Decrypt", "ReEncrypt"))
    ]
    assert {one.service for one in found} == {"api"}
    (told,) = store.event(renamed.event_id).receipts
    assert not told.explains
    assert told.words.startswith("contradicts the record: ReEncrypt at ")
    (told,) = store.event(fine.event_id).receipts
    assert (told.words, told.as_json()["explains"]) == (f"{REF}, by api on api-1, process 4711", True)


def test_calls_that_failed_or_are_none_of_kms_have_no_receipts(store: EventStore) -> None:
    wrong = read(denied(who=user(), requestID="r-1"))
    rotated = called(name="RotateKeyOnDemand")
    store.add([wrong, rotated])
    store.add_receipts([replace(receipt(called()), request_id=clean("r-1"), at=wrong.time), receipt(rotated)])
    assert numbers(store, "explained") == [0]


def test_a_receipt_across_midnight_finds_its_call(store: EventStore) -> None:
    midnight = NOW.replace(hour=0)
    one = called(ago=(NOW - midnight).total_seconds() + 1)
    for order in itertools.permutations(("event", "receipt")):
        for step in order:
            store.add([one]) if step == "event" else store.add_receipts([receipt(one, after=2)])
    assert one.time.date() != (one.time + timedelta(seconds=2)).date()
    assert numbers(store, "explained") == [1]


def test_both_records_of_a_call_across_accounts_are_explained_and_count_once(store: EventStore) -> None:
    shared = {"requestID": str(uuid4()), "sharedEventID": str(uuid4())}
    mine = event("ReEncrypt", ago=5, **shared)
    theirs = event("ReEncrypt", ago=5, recipientAccountId="444455556666", **shared)
    store.add([mine])
    store.add_receipts([receipt(mine)])
    store.add([theirs])
    assert numbers(store, "", "explained", "-explained", "twin") == [1, 1, 0, 1]


def test_what_processes_lost_is_kept_once_and_receipts_go_with_their_calls(store: EventStore) -> None:
    old, new = called(ago=40 * 86_400), called()
    kept = called(ago=40 * 86_400)
    store.add([old, new, kept])
    store.annotate(kept.event_id, "look", "ana")
    store.add_receipts([receipt(old), receipt(new), receipt(kept)])
    lost = LostReceipts(7, NOW - timedelta(minutes=9), NOW - timedelta(minutes=8), PROCESS)
    assert store.add_receipts([lost]).lost == 7
    assert store.add_receipts([lost, lost]).lost == 0
    told = store.receipts()
    assert told is not None
    assert (told.receipts, told.processes, told.lost) == (3, 1, 7)
    store.forget_before(30)
    told = store.receipts()
    assert told is not None
    assert told.receipts == 2
    assert numbers(store, "explained") == [2]
    store.add([old])
    assert numbers(store, "explained", "-explained") == [2, 1]


def test_a_store_of_before_knows_its_calls_once_it_is_opened(store: EventStore) -> None:
    events = [called(ago=n) for n in range(5)]
    store.add(events)
    store.close()
    with closing(sqlite3.connect(store.file.path)) as database:
        for table in ("call", "receipt", "receipts_lost", "receipt_process", "receipt_reached"):
            database.execute(f"DROP TABLE {table}")
        database.execute(f"PRAGMA user_version = {VERSION - 1}")
        database.commit()
    assert store.add_receipts(list(map(receipt, events))).explained == 5
    assert numbers(store, "explained", "-explained", "name:Decrypt") == [5, 0, 5]


def test_texts_of_receipts_are_foreign_and_bounded(store: EventStore) -> None:
    evil = "[/red]\x1b[2J\u202e" + "x" * 5_000
    one = called()
    process = ReceiptProcess(clean(evil, 255), 1, clean(evil, 255))
    store.add([one])
    store.add_receipts([replace(receipt(one, evil), process=process, operation=clean("Encrypt"))])
    store.add_receipts([replace(receipt(one, evil), process=process)])
    (found,) = store.receipt_subjects("principal:*").rows
    assert len(found.token) <= 1_024
    assert not {"\x1b", "\u202e"} & set(found.token)
    with store.file.reading() as connection:
        told = receipt_questions.contradictions(connection, Bounds(), 10)
    assert "\x1b" not in json.dumps([(one.host, one.service) for one in told], ensure_ascii=False)


@pytest.mark.parametrize("text", [SHA, REF, "=", "#x", "", "0" * 63, "A" * 64])
def test_what_a_receipt_is_about_comes_back_as_it_was(text: str) -> None:
    subject = subject_of(text)
    assert (subject_text(subject) if subject else "") == text


def at(moment: datetime) -> str:
    return moment.isoformat()


def test_who_writes_receipts_and_who_does_not_is_told_by_principal(store: EventStore) -> None:
    from crypto_core.trail.use.receipt_coverage import cover_statements, covers_of
    from crypto_core.trail.use.tokens import OPENED

    steady = [called(ago=n) for n in range(10, 20)]
    patchy = [called(ago=n, who=role("worker")) for n in range(10, 20)]
    silent = [called(ago=n, who=user()) for n in range(10, 13)]
    store.add([*steady, *patchy, *silent, called(ago=5_000, who=role("worker"))])
    store.add_receipts([receipt(one) for one in (*steady, *patchy[:3], *patchy[5:])])
    covers = {one.principal.rsplit("/")[-1]: one for one in covers_of(store, OPENED)}
    assert {name: (one.explained, one.without, one.whole) for name, one in covers.items()} == {
        "platform": (10, 0, True),
        "worker": (8, 2, False),
        "intruder": (0, 3, False),
    }
    reached = store.receipts()
    assert reached is not None
    told = " ".join(cover_statements(reached, tuple(covers.values())))
    assert "Receipts don't cover arn:aws:iam::111122223333:role/worker: 2 calls" in told
    assert "user/intruder writes no receipts: 3 calls" in told

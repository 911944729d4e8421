"""keydeck.receipt into the store: by the order of writing, each once, and what is missing named."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text

from console.container import Container
from crypto_core.aws.receipts.receipt import LostReceipts, Receipt
from crypto_core.database.state.receipt_table import TableSink
from crypto_core.trail.event import TrailEvent
from crypto_core.trail.sources import receipts as receipt_table
from crypto_core.trail.sources.receipts import ReceiptTable
from crypto_core.trail.store import EventStore
from crypto_core.values.clean_text import clean
from tests.crypto_core.trail.records import event
from tests.crypto_core.trail.test_receipts import PROCESS, REF

NOW = datetime.now(UTC).replace(microsecond=0)


def written(number: int, at: datetime = NOW) -> Receipt:
    return Receipt(clean(str(uuid4())), clean("Decrypt"), at, clean(f"{REF}{number}"), None, PROCESS)


def called(of: Receipt) -> TrailEvent:
    return event(requestID=of.request_id, eventTime=f"{of.at:%Y-%m-%dT%H:%M:%SZ}")


@pytest.fixture
def own(services: Container, store: EventStore) -> ReceiptTable:
    """The table of a database of the test's own, and a store of its own."""
    return ReceiptTable(services.engine, store)


def test_new_rows_come_once_in_whichever_order_and_however_late(
    own: ReceiptTable, services: Container, store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receipt_table, "PAGE", 3)
    sink = TableSink(services.engine)
    first = [written(n) for n in range(7)]
    sink(first)
    store.add(list(map(called, first)))
    report = own.take()
    assert (report.read, report.added.new, report.added.explained, report.gaps) == (7, 7, 7, ())
    again = own.take()
    assert (again.added.new, again.added.duplicates) == (0, 7)
    late = [written(n, NOW - timedelta(days=6)) for n in range(2)]
    lost = LostReceipts(4, NOW - timedelta(minutes=1), NOW, PROCESS)
    sink([*late, lost, first[0]])
    report = own.take()
    assert (report.added.new, report.added.lost) == (2, 4)
    assert store.add(list(map(called, late))).new == 2
    assert store.tally((), "explained").events == 9
    told = store.receipts()
    assert told is not None
    assert (told.receipts, told.lost) == (9, 4)


def test_rows_that_commit_after_others_that_wrote_later_are_not_missed(
    own: ReceiptTable, services: Container, store: EventStore
) -> None:
    slow, quick = written(1), written(2)
    TableSink(services.engine)([written(0)])  # the day's partition
    own.take()
    write = text("SELECT keydeck.write_receipts(CAST(:receipts AS jsonb))")
    with services.engine.begin() as connection:
        connection.execute(write, {"receipts": f"[{slow.as_json_line()}]"})
        TableSink(services.engine)([quick])
        assert own.take().added.new == 1
    assert own.take().added.new == 1


def test_what_a_row_holds_is_foreign_and_a_wrong_row_is_counted(
    own: ReceiptTable, services: Container, store: EventStore, superuser: Engine
) -> None:
    one = written(1)
    store.add([called(one)])
    TableSink(services.engine)([one])
    evil = "[/red]\x1b[2J\u202e"
    with superuser.begin() as connection:
        change = "UPDATE keydeck.receipt SET token = :evil, host = :evil, service = :evil"
        connection.execute(text(change), {"evil": evil})
        more = "INSERT INTO keydeck.receipt SELECT {} FROM keydeck.receipt LIMIT 1"
        columns = (
            "request_id, 'Open', at, token, stored_sha256, host, pid, service, unanswered, lost, since,"
            " written_at, written_by"
        )
        connection.execute(text(more.format(columns)))
    report = own.take()
    assert (report.read, report.malformed, report.added.new) == (1, 1, 1)
    (found,) = store.receipt_subjects("").rows
    assert found.token
    assert not {"\x1b", "\u202e"} & set(found.token)


def test_a_missing_table_or_grant_is_named_and_fatal_to_nothing(
    own: ReceiptTable, services: Container, store: EventStore, superuser: Engine
) -> None:
    with superuser.begin() as connection:
        connection.execute(text("ALTER TABLE keydeck.receipt RENAME TO away"))
    assert own.take().gaps == ()
    store.add_receipts([written(1)])
    (gap,) = own.take().gaps
    assert "keydeck init" in gap
    with superuser.begin() as connection:
        connection.execute(text("ALTER TABLE keydeck.away RENAME TO receipt"))
        connection.execute(text("REVOKE SELECT ON keydeck.receipt FROM PUBLIC, operator"))
    (gap,) = own.take().gaps
    assert "can't be read" in gap
    assert "SELECT" in gap

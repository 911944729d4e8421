"""keydeck.receipt: a partition a day, written by its function alone, which says who wrote and when."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from console.container import Container
from console.sandbox.postgres import PLATFORM
from crypto_core.aws.receipts.receipt import LostReceipts, Receipt, ReceiptProcess
from crypto_core.aws.receipts.recorder import ReceiptRecorder
from crypto_core.database.state.receipt_table import TableSink
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import MissingGrantError
from tests.crypto_core.statements import execute, scalar

PROCESS = ReceiptProcess(clean("pod-1"), 17, clean("api"))
NOW = datetime.now(UTC)


def receipt(number: int, at: datetime = NOW) -> Receipt:
    token = clean(f"gh_connection.access_token:gh-{number}'; DROP TABLE x; --")
    return Receipt(clean(f"id-{number}"), clean("Decrypt"), at, token, None, PROCESS)


def test_the_platform_may_write_receipts_and_nothing_else(
    services: Container, platform: Engine, superuser: Engine
) -> None:
    sink = TableSink(platform)
    with pytest.raises(MissingGrantError):
        sink([receipt(0)])
    execute(
        superuser,
        f"GRANT USAGE ON SCHEMA keydeck TO {PLATFORM}",
        f"GRANT EXECUTE ON FUNCTION keydeck.write_receipts TO {PLATFORM}",
        f"ALTER DEFAULT PRIVILEGES IN SCHEMA keydeck GRANT ALL ON TABLES TO {PLATFORM}",
    )
    days = [NOW, NOW - timedelta(days=6), NOW - timedelta(days=8), NOW + timedelta(days=2)]
    with ThreadPoolExecutor(4) as pool:  # several make the day's partition at once
        list(pool.map(lambda n: sink([receipt(n, day) for day in days]), range(8)))
    sink([LostReceipts(7, NOW - timedelta(minutes=1), NOW, PROCESS)])
    with superuser.connect() as connection:
        rows = connection.execute(text("SELECT * FROM keydeck.receipt")).all()
    # Of each one's four, that of today and that of six days ago.
    assert sorted(row.request_id for row in rows) == sorted(["", *[f"id-{n}" for n in range(8)] * 2])
    assert {row.written_by for row in rows} == {PLATFORM}
    assert all(abs(time.time() - row.written_at.timestamp()) < 600 for row in rows)
    assert [(row.lost, row.operation, row.token) for row in rows if row.lost] == [(7, "", None)]
    own = receipt(0)
    assert {(r.token, r.host, r.pid, r.service) for r in rows if r.request_id == "id-0"} == {
        (own.token, "pod-1", 17, "api")
    }
    day = f"receipt_{NOW:%Y%m%d}"
    for table in ("receipt", day):
        for attempt in ("SELECT * FROM", "DELETE FROM", "TRUNCATE"):
            with pytest.raises(DBAPIError, match="permission denied"), platform.begin() as connection:
                connection.execute(text(f"{attempt} keydeck.{table}"))


@pytest.mark.parametrize("document", ["{}", "null", '[{"at": "soon"}]', '[{"at": "now", "pid": "x"}]'])
def test_what_is_no_receipt_is_refused_by_the_function(services: Container, document: str) -> None:
    with pytest.raises(DBAPIError), services.engine.begin() as connection:
        connection.execute(text("SELECT keydeck.write_receipts(CAST(:d AS jsonb))"), {"d": document})


def test_receipts_wait_for_a_database_that_comes_back(services: Container, superuser: Engine) -> None:
    execute(superuser, "ALTER FUNCTION keydeck.write_receipts RENAME TO away")
    recorder = ReceiptRecorder(TableSink(services.engine), linger=0.0, retries=(0.05,))
    recorder.write("Decrypt", "id", time.time(), 0, None)
    assert not recorder.flush(0.3)
    execute(superuser, "ALTER FUNCTION keydeck.away RENAME TO write_receipts")
    assert recorder.flush(10)
    recorder.close()
    assert scalar(superuser, "SELECT count(*) FROM keydeck.receipt") == 1

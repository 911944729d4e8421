"""A receipt's line is read as it was written; what is no receipt is passed over or named by its field."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_core.aws.receipts import receipt
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import ReceiptError

AT = datetime(2026, 11, 1, 3, 12, 7, 5, tzinfo=UTC)
PROCESS = receipt.ReceiptProcess(clean("pod-1"), 17, clean("api"))
RECEIPT = receipt.Receipt(
    clean("8f2b-1"), clean("Decrypt"), AT, clean("gh_connection.access_token:gh-1"), None, PROCESS
)


@given(
    operation=st.sampled_from(receipt.OPERATIONS),
    at=st.datetimes(timezones=st.just(UTC)),
    token=st.none() | st.text(min_size=1).map(lambda text: clean(text, 1_000)).filter(bool),
    digest=st.none() | st.just("0a" * 32),
    unanswered=st.integers(0, 9),
)
def test_a_line_is_read_as_it_was_written(operation, at, token, digest, unanswered):
    written = receipt.Receipt(clean("a-1"), operation, at, token, digest, PROCESS, unanswered)
    line = written.as_json_line()
    assert "\n" not in line
    assert receipt.read_receipt(line) == written
    lost = receipt.LostReceipts(7, at, at, PROCESS)
    assert receipt.read_receipt(lost.as_json_line()) == lost


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("request_id", value) for value in (None, 5, "a b", "a\x1b", "x" * 129)],
        *[("operation", value) for value in (None, "DescribeKey", "decrypt", 3)],
        *[("at", value) for value in (None, "2026-11-01T03:12:07", "soon", 5, "99999-01-01T00:00:00Z")],
        *[("token", value) for value in (5, "", ["x"])],
        *[("stored_sha256", value) for value in ("", "0A" * 32, "0a" * 31, 5)],
        *[("pid", value) for value in (None, -1, True, "17", 2**31)],
        *[(name, value) for name in ("host", "service") for value in (None, 5)],
        ("unanswered", -1),
    ],
)
def test_a_field_that_cannot_be_one_is_named_without_its_content(field, value):
    document = json.loads(RECEIPT.as_json_line()) | {field: value}
    with pytest.raises(ReceiptError, match=f"The field {field} of a receipt"):
        receipt.read_receipt(json.dumps(document))


@pytest.mark.parametrize(
    "line",
    [
        "",
        "INFO started",
        "{",
        "{}",
        "[1]",
        "5",
        '{"request_id": "a"}',
        '{"message": "x", "level": "info"}',
        "{" * 5_000 + "}",
        json.dumps({"request_id": "a", "operation": "Decrypt", "x": "y" * receipt.LONGEST_LINE}),
    ],
)
def test_other_lines_are_passed_over(line):
    assert receipt.read_receipt(line) is None


def test_what_a_receipt_says_is_cleaned():
    document = json.loads(RECEIPT.as_json_line()) | {
        "token": "gh_connection.access_token:\x1b]0;x\x07[/red]\u202e" + "z" * 3_000,
        "host": "\x1b[2Jhost",
        "service": "api\nforged",
    }
    read = receipt.read_receipt(json.dumps(document))
    assert isinstance(read, receipt.Receipt)
    texts = (read.token, read.process.host, read.process.service)
    assert texts == tuple(clean(text, 1_000) for text in texts)

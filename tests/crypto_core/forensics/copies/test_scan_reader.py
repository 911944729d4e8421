"""A scan's document is read back as it was written, and nothing else is taken for one."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_core.forensics.copies.report import (
    CopyReport,
    Exposed,
    KeyEvidence,
    KeyNeed,
    ScanReport,
    read_scan,
)
from crypto_core.lists.coverage import Coverage
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import RefusedError
from tests.crypto_core.forensics.copies.values import KEY_ARN

PREFIX = "0102020078" + "6b" * 32
NEED = KeyNeed(KEY_ARN, "m" * 64, 7, 5, {"v1": 4, "v2": 3}, KeyEvidence.INFERRED, PREFIX)
UNKNOWN = KeyNeed(None, None, 2, 2, {"v1": 2}, KeyEvidence.UNKNOWN, "", note="KMS was not asked")
COPY = CopyReport(
    clean("dump.sql"),
    2,
    1_000,
    (NEED, UNKNOWN),
    (Exposed("dev", 2, 1), Exposed("github", 1, 1)),
    3,
    ("damaged: dump.sql, byte 7",),
    ("a.gz: ends too early",),
    Coverage(("a.gz: ends too early",)),
)
REPORT = ScanReport(datetime(2026, 11, 29, 12, tzinfo=UTC), (COPY,))


def written(change: Callable[[Any], object] = lambda document: None) -> bytes:
    document = deepcopy(REPORT.as_json())
    change(document)
    return json.dumps(document).encode()


def test_what_is_written_is_read() -> None:
    assert read_scan(written()) == REPORT
    assert read_scan(written()).as_json() == REPORT.as_json()


def _set(*path: str | int, to: Any) -> Callable[[Any], object]:
    def change(document: Any) -> None:
        for name in path[:-1]:
            document = document[name]
        document[path[-1]] = to

    return change


_KEY = ("copies", 0, "keys", 0)
WRONG = {
    "another form": (_set("form", to="keydeck-scan-2"), "form"),
    "no offset": (_set("scanned_at", to="2026-11-29T12:00:00"), "scanned_at"),
    "no time": (_set("scanned_at", to="today"), "scanned_at"),
    "no list": (_set("copies", to={}), "copies"),
    "no object": (_set("copies", 0, to=[]), "copies[0]"),
    "a member too many": (_set("copies", 0, "value", to="ghp_x"), "copies[0]"),
    "a count that is true": (_set("copies", 0, "files", to=True), "copies[0].files"),
    "a negative count": (_set("copies", 0, "damaged", to=-1), "copies[0].damaged"),
    "a huge count": (_set("copies", 0, "bytes", to=1 << 60), "copies[0].bytes"),
    "a count as a text": (_set("copies", 0, "files", to="1"), "copies[0].files"),
    "fewer envelopes than its keys have": (_set("copies", 0, "envelopes", to=1), "copies[0].envelopes"),
    "no key ARN": (_set(*_KEY, "key_arn", to="[/red]\x1b[31m"), "copies[0].keys[0].key_arn"),
    "no key, but evidence": (_set(*_KEY, "key_arn", to=None), "copies[0].keys[0].evidence"),
    "other evidence": (_set(*_KEY, "evidence", to="sure"), "copies[0].keys[0].evidence"),
    "another format": (_set(*_KEY, "by_format", to={"v9": 7}), "copies[0].keys[0].by_format"),
    "formats that come to less": (_set(*_KEY, "by_format", to={"v1": 1}), "copies[0].keys[0].envelopes"),
    "more distinct than there are": (_set(*_KEY, "distinct", to=8), "copies[0].keys[0].envelopes"),
    "a prefix that is none": (_set(*_KEY, "edk_prefix", to="zz"), "copies[0].keys[0].edk_prefix"),
    "another kind": (_set("copies", 0, "exposed", 0, "kind", to="aws"), "copies[0].exposed[0].kind"),
    "a note that is no text": (_set(*_KEY, "note", to=7), "copies[0].keys[0].note"),
    "too many": (_set("copies", 0, "places", to=["x"] * 10_001), "copies[0].places"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_anything_else_is_refused_with_the_member_that_is_wrong(wrong: str) -> None:
    change, named = WRONG[wrong]
    with pytest.raises(RefusedError) as refused:
        read_scan(written(change))
    assert f"writes: {named} " in refused.value.message
    assert "\x1b" not in str(refused.value)
    assert "keydeck scan" in refused.value.remedy


@pytest.mark.parametrize(
    "document", [b"", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"form": NaN}', b'{"form": 1}']
)
def test_what_is_no_document_is_refused(document: bytes) -> None:
    with pytest.raises(RefusedError):
        read_scan(document)


def test_texts_of_a_document_are_cleaned() -> None:
    worst = "\x1b[31m[/red]\u202e" + "w" * 100_000
    changes = (_set("copies", 0, "path", to=worst), _set(*_KEY, "alias", to=worst))

    def change(document: Any) -> None:
        for one in changes:
            one(document)

    (copy,) = read_scan(written(change)).copies
    for text in (copy.path, str(copy.needs[0].alias)):
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert len(text) <= 1_000


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda x: st.lists(x) | st.dictionaries(st.sampled_from(["form", "copies", "keys"]), x),
        max_leaves=8,
    )
)
def test_no_document_raises_anything_else(document: Any) -> None:
    with pytest.raises(RefusedError):
        read_scan(json.dumps(document).encode())

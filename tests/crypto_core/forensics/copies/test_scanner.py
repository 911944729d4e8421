"""A scanner finds each value once, in whatever spelling and pieces, and never one that is not there."""

from __future__ import annotations

import json
import os
from base64 import b64encode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_core.envelope import ENVELOPE_FORMATS, PROVIDER_PREFIXES, Format
from crypto_core.forensics.copies.values import HEADS
from tests import lanes
from tests.crypto_core.forensics.copies.values import TOKEN, dev, found_in, summary, v1, v2


def _wrapped(value: bytes, width: int, end: bytes) -> bytes:
    return b"\n" + end.join(value[at : at + width] for at in range(0, len(value), width)) + b"\n"


def _in_page(value: bytes) -> bytes:
    """A text as a page of a table has it, with the next column's right behind it."""
    short = bytes([(len(value) + 1) << 1 & 0xFF | 1])
    header = short if len(value) <= 126 else ((len(value) + 4) << 2).to_bytes(4, "little")
    return b"\x2a\0\0\0" + header + value + b"1oauth2"


def _bytea(value: bytes) -> bytes:
    return b"\\x" + json.dumps({"api_key": value.decode(), "n": 1}).encode().hex().encode() + b"\t"


SPELLINGS = {
    "COPY": lambda value: b"gh-1\t" + value + b"\t\\N\n",
    "INSERT": lambda value: b"VALUES ('gh-1', '" + value + b"', NULL);",
    "JSON": lambda value: json.dumps({"token": value.decode()}).encode(),
    "JSON within JSON": lambda value: json.dumps({"a": json.dumps({"b": value.decode()})}).encode(),
    "escaped padding": lambda value: b'"' + value.replace(b"=", b"\\u003d") + b'"',
    "escaped padding in COPY": lambda value: b'"' + value.replace(b"=", b"\\\\u003D") + b'"',
    "CSV": lambda value: b'1,"{""t"": ""' + value + b'""}"\r\n',
    "bytea": _bytea,
    "bytea in capitals": lambda value: b"\\x" + _bytea(value)[2:].upper(),
    "page": _in_page,
    "wrapped as mail": lambda value: _wrapped(value, 76, b"\r\n"),
    "wrapped as PEM": lambda value: _wrapped(value, 64, b"\n"),
    "UTF-8 around": lambda value: "é".encode() + value + "é".encode(),
}
WRAPPED = ("wrapped as mail", "wrapped as PEM")


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("length", [39, 40, 41, 3_000])
def test_an_envelope_is_found_in_every_spelling(spelling: str, length: int) -> None:
    values = [v1(length), v2(length), dev()]
    data = b"".join(SPELLINGS[spelling](value) for value in values)
    found = found_in(data)
    assert [(value.format, value.damaged) for _, value in found] == [
        (Format.V1, False),
        (Format.V2, False),
        (Format.DEV, False),
    ]
    assert [value.text for _, value in found] == values


@pytest.mark.parametrize("spelling", [name for name in SPELLINGS if name not in WRAPPED])
def test_a_token_in_plaintext_is_found_in_every_spelling(spelling: str) -> None:
    ((_, found),) = found_in(SPELLINGS[spelling](TOKEN))
    assert (found.format, found.provider, found.text) == (Format.PLAINTEXT, "github", TOKEN)


@pytest.mark.parametrize("prefix", [p for prefixes in PROVIDER_PREFIXES.values() for p in prefixes])
def test_every_provider_s_prefix_is_known_as_it_stands_and_in_hex(prefix: str) -> None:
    token = prefix.encode() + b"0123456789abcdef"
    for data in (b" " + token, b"\\x" + b'{"a": "'.hex().encode() + token.hex().encode()):
        ((_, found),) = found_in(data)
        assert found.format is Format.PLAINTEXT
        assert found.provider is not None
        assert prefix in PROVIDER_PREFIXES[found.provider]


def test_the_heads_are_those_of_the_formats_and_providers() -> None:
    assert {head.format for head in HEADS.values()} == {*ENVELOPE_FORMATS, Format.DEV, Format.PLAINTEXT}


def test_envelopes_that_run_into_each_other_are_two() -> None:
    values = [v1(41), v1(40), v2(42)]
    assert [value.text for _, value in found_in(b"".join(values))] == values


@pytest.mark.parametrize("cut", [20, 100, 300, 441, 442, 443, 450, 459])
def test_a_cut_envelope_is_damaged_and_no_envelope(cut: int) -> None:
    ((_, found),) = found_in(b" " + v1()[:cut] + b" ")
    assert (found.format, found.damaged, found.envelope) == (Format.V1, True, None)


def test_an_altered_envelope_is_damaged() -> None:
    value = bytearray(v1())
    value[200:204] = b"!!!!"
    assert [found.damaged for _, found in found_in(b" " + bytes(value))] == [True]


@pytest.mark.parametrize(
    "text",
    [
        b"djF8",
        b"djF8 is how they begin, djJ8 and ZGV2f too",
        b"the prefix ghp_ and ghp_short",
        b"wordghp_" + b"a" * 36,
        b"djF8" * 100,
        b"djF8" + b"A" * 500,
        b"646a4638" * 50,
        b"\\x646a4638",
        b"",
    ],
)
def test_what_only_looks_like_a_value_is_none(text: bytes) -> None:
    assert found_in(text) == []


def test_random_base64_and_bytes_hold_nothing() -> None:
    noise = os.urandom(3 << 20)
    assert found_in(b64encode(noise)) == []
    assert found_in(noise) == []
    assert found_in(noise[: 1 << 19].hex().encode()) == []


def test_a_line_of_ten_megabytes_and_a_value_that_never_ends_are_read() -> None:
    value = v1()
    endless = value[:-40] + b"QUJD" * (3 << 20)
    cuts = tuple(range(0, len(endless), 1 << 20))
    found = found_in(endless + b" " + value, cuts)
    assert [one.text for _, one in found if one.envelope] == [value]
    assert [one.damaged for _, one in found].count(True) <= 1


_PIECES = st.one_of(
    st.sampled_from(sorted(SPELLINGS)).flatmap(
        lambda name: st.sampled_from([v1(40), v1(41), v1(42), v2(), dev()]).map(SPELLINGS[name])
    ),
    st.just(b"\n" + TOKEN + b"\n"),
    st.just(b"\n" + v1()[:150] + b"\n"),
    st.binary(max_size=300),
    st.sampled_from([b"djF8", b"646a", b"=", b"\\", b"ghp_", b"\n"]),
)


@settings(max_examples=lanes.examples(100))
@given(data=st.lists(_PIECES, min_size=1, max_size=8).map(b"".join), cuts=st.data())
def test_no_edge_between_pieces_loses_or_doubles_a_value(data: bytes, cuts: st.DataObject) -> None:
    places = cuts.draw(st.lists(st.integers(0, len(data)), max_size=12))
    assert summary(found_in(data, tuple(places))) == summary(found_in(data))


def test_a_value_is_found_whichever_byte_the_edge_is_at() -> None:
    data = b" " + v1() + b" " + TOKEN + _bytea(v1())
    whole = summary(found_in(data))
    assert len(whole) == 3
    assert all(summary(found_in(data, (edge,))) == whole for edge in range(0, len(data), 3))
    assert summary(found_in(data, tuple(range(len(data))))) == whole


def test_no_value_is_in_what_a_found_one_says_of_itself() -> None:
    ((_, found),) = found_in(b" " + TOKEN)
    assert TOKEN.decode() not in repr(found)

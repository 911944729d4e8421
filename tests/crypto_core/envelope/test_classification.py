"""Telling what a stored value is without opening it, and which key material an EDK is under."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_core.envelope import PROVIDER_PREFIXES, EnvelopeV1, Format, classify, edk_prefix, serialise
from tests.crypto_core.envelope.samples import (
    CIPHERTEXT,
    EDK,
    NONCE,
    b64,
    dev_value,
    sealed_v2,
    stored_as,
    stored_of,
)


@pytest.mark.parametrize(
    ("provider", "prefix"),
    [
        *[("github", p) for p in ("github_pat_", "ghp_", "gho_", "ghu_", "ghs_", "ghr_")],
        *[("slack", p) for p in ("xoxb-", "xoxp-", "xoxa-", "xoxe-", "xoxe.", "xoxr-", "xoxs-", "xapp-")],
        *[("atlassian", p) for p in ("ATATT3", "ATCTT3")],
    ],
)
def test_a_providers_token_is_told_by_its_prefix(provider: str, prefix: str) -> None:
    for stored in (prefix, prefix + "0123456789abcdef"):
        told = classify(stored)
        assert (told.format, told.provider) == (Format.PLAINTEXT, provider)
        assert not told.format.protected
    assert prefix in PROVIDER_PREFIXES[provider]
    assert classify(" " + prefix).format is Format.UNRECOGNISED
    assert classify(prefix[:-1]).format is Format.UNRECOGNISED


@pytest.mark.parametrize(
    ("stored", "format_"),
    [
        (None, Format.EMPTY),
        ("", Format.EMPTY),
        (stored_as(), Format.V1),
        (stored_of("x", version="v2"), Format.V2),
        (serialise(sealed_v2()), Format.V2),
        (b64(b"dev|gAAAAA"), Format.DEV),
        ("djF8", Format.V1),
        ("djJ8", Format.V2),
        ("djF", Format.UNRECOGNISED),
        ("djM8", Format.UNRECOGNISED),
        ("GHP_abc", Format.UNRECOGNISED),
        (" ", Format.UNRECOGNISED),
        ("\0", Format.UNRECOGNISED),
        ("hunter2", Format.UNRECOGNISED),
        (b64(stored_as().encode()), Format.UNRECOGNISED),
    ],
)
def test_a_format_is_told_from_its_beginning(stored: str | None, format_: Format) -> None:
    told = classify(stored)
    assert told.format is format_
    assert told.provider is None
    assert told.format.protected is (format_ in (Format.V1, Format.V2))


@given(st.binary(min_size=1, max_size=200))
def test_every_dev_value_is_told_to_be_one(token: bytes) -> None:
    assert classify(dev_value(token)).format is Format.DEV


# The prefix that envelopes under one key material share


@pytest.mark.parametrize("header", ["0101010078", "0102010078", "0102020078", "0102030078", "010f0f0078"])
def test_the_prefix_is_header_and_key_material_identifier(header: str) -> None:
    head = bytes.fromhex(header) + bytes(range(32))
    assert edk_prefix(head + b"rest") == head
    assert EnvelopeV1(head + b"rest", NONCE, CIPHERTEXT).edk_prefix == head
    assert sealed_v2(edk=head + b"rest").edk_prefix == head


@pytest.mark.parametrize(
    "header", ["0002030078", "0202030078", "0110030078", "0102100078", "0102030178", "0102030079"]
)
def test_an_encrypted_data_key_with_another_header_has_no_prefix(header: str) -> None:
    assert edk_prefix(bytes.fromhex(header) + bytes(200)) is None


def test_a_line_feed_in_the_header_is_a_byte_like_any_other() -> None:
    head = bytes.fromhex("010a0a0078") + bytes(32)
    assert edk_prefix(head + b"rest") == head


@pytest.mark.parametrize("length", [0, 1, 5, 36, 37])
def test_too_short_an_encrypted_data_key_has_no_prefix(length: int) -> None:
    assert edk_prefix(EDK[:length]) is None
    assert edk_prefix(EDK[:38]) == EDK[:37]

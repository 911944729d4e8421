"""Base64 spelt otherwise: the strict reader reads none of it, the reader of v1 what the platform's reads."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from crypto_core.envelope import (
    Envelope,
    EnvelopeV1,
    Format,
    begins_as,
    classify,
    is_respelt,
    lenient_fields,
    parse,
    parse_strictly,
    serialise,
)
from crypto_core.values.errors import EnvelopeError, MalformedEnvelopeError, UnsupportedFormatError
from tests.crypto_core.envelope.samples import (
    CIPHERTEXT,
    EDK,
    NONCE,
    V1_FIELDS,
    V2_FIELDS,
    b64,
    fields_of,
    opened,
    refused_field,
    sealed_v2,
    stored_with,
)
from tests.crypto_core.envelope.spellings import drawn_value, published_fields, stored_text

V1 = EnvelopeV1(EDK, NONCE, CIPHERTEXT)
V2 = sealed_v2()
BOTH = pytest.mark.parametrize("envelope", [V1, V2], ids=["v1", "v2"])


def stored_with_mark(mark: str) -> str:
    return b64("|".join((mark, b64(EDK), b64(NONCE), b64(CIPHERTEXT))).encode())


def respelled(encoded: str) -> Iterator[str]:
    """Other spellings that lenient decoders read as the same bytes."""
    raw, bare = base64.b64decode(encoded), encoded.rstrip("=")
    yield from (bare, encoded + "=", encoded + "==", encoded + "====", encoded + "A===", "=" + encoded)
    yield from (" " + encoded, encoded + " ", encoded + "\n", "\ufeff" + encoded, "\0" + encoded)
    yield from (encoded[:8] + gap + encoded[8:] for gap in ("\n", "\r\n", " ", "\t", "=", "==", "-", "\x0b"))
    yield base64.encodebytes(raw).decode()
    yield base64.urlsafe_b64encode(raw).decode()
    yield base64.b32encode(raw).decode()
    yield raw.hex()
    yield "".join(chr(ord(c) + 0xFEE0) for c in encoded)  # the same letters in full width
    if bare != encoded:
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        last = alphabet.index(bare[-1])
        yield from (
            bare[:-1] + alphabet[last ^ bits] + encoded[len(bare) :]
            for bits in range(1, 4 if encoded.count("=") == 1 else 16)
        )


@pytest.mark.parametrize("seed", range(8))
def test_a_value_is_v1_exactly_where_the_platforms_reader_opens_it(seed: int) -> None:
    random, opened_values = Random(seed), 0
    for _ in range(1_000):
        value = drawn_value(random)
        stored, fields = stored_text(value), published_fields(value)
        assert lenient_fields(stored) == fields
        marked = begins_as(stored).format.protected
        assert (classify(stored).format is Format.V1) == (fields is not None) or marked
        try:
            read = parse(stored)
        except EnvelopeError:
            assert fields is None
        else:
            assert read == EnvelopeV1(*fields or ())
            assert is_respelt(stored) == (serialise(read) != stored)
        opened_values += fields is not None
    assert 200 < opened_values < 800


def test_what_names_a_key_where_v1_has_its_data_key_is_no_v1() -> None:
    arn = base64.b64encode(b"arn:aws:kms:eu-west-1:123456789012:key/x").decode()
    stored = b64(f"v2|{arn}|{b64(NONCE)}|{b64(CIPHERTEXT)}".encode())
    assert classify(stored).format is Format.V2
    with pytest.raises(MalformedEnvelopeError):
        parse(stored)


@pytest.mark.parametrize("mark", ["v2", "vb"])
def test_v1_under_the_mark_of_a_later_version_is_v1_so_that_who_demands_the_later_one_refuses_it(
    mark: str,
) -> None:
    stored = stored_with_mark(mark)
    assert (classify(stored).format, parse(stored)) == (Format.V1, V1)
    assert is_respelt(stored)


@BOTH
def test_no_other_spelling_of_the_stored_value_is_read(envelope: Any) -> None:
    lengths, tried = set(), 0
    for extra in range(3):  # so that the value ends without padding, with one and with two characters of it
        stored = serialise(replace(envelope, encrypted_data_key=EDK + bytes(3 * extra)))
        lengths.add(stored.count("="))
        for spelled in respelled(stored):
            if spelled != stored:
                with pytest.raises(EnvelopeError):
                    parse_strictly(spelled)
                tried += 1
    assert lengths == {0, 1, 2}
    assert tried > 70


@pytest.mark.parametrize(
    ("envelope", "name"), [*((V1, n) for n in V1_FIELDS), *((V2, n) for n in V2_FIELDS)], ids=str
)
def test_no_other_spelling_of_a_field_is_read(envelope: Any, name: str) -> None:
    written = {n: b64(content) for n, content in fields_of(envelope).items()}
    for spelled in respelled(written[name]):
        if spelled == written[name]:
            continue
        stored = b64("|".join([envelope.format, *(written | {name: spelled}).values()]).encode())
        try:
            read = parse_strictly(stored)
        except MalformedEnvelopeError:
            assert refused_field(stored) == name
        else:  # hexadecimal and base32 can be base64 of something else
            assert fields_of(read)[name] != fields_of(envelope)[name]


@BOTH
def test_base64_within_base64_is_no_envelope_and_no_field(envelope: Envelope) -> None:
    with pytest.raises(UnsupportedFormatError):
        parse_strictly(b64(serialise(envelope).encode()))
    for name, content in fields_of(envelope).items():
        stored = stored_with(envelope, **{name.replace(" ", "_"): b64(content).encode()})
        if name == "encrypted data key":
            assert parse_strictly(stored).encrypted_data_key == b64(EDK).encode() != EDK
        else:
            with pytest.raises(EnvelopeError):
                opened(parse_strictly(stored))

"""v1's stored form: what is read, what is refused, and that refusals tell nothing."""

from __future__ import annotations

import base64
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_core.envelope import (
    MAX_EDK_BYTES,
    MAX_STORED_CHARACTERS,
    MAX_TOKEN_BYTES,
    EnvelopeV1,
    Format,
    classify,
    open_dev,
    open_envelope,
    parse,
    parse_strictly,
    serialise,
)
from crypto_core.errors import EnvelopeError, MalformedEnvelopeError, UnsupportedFormatError
from crypto_core.secret import DataKey, Secret
from tests.crypto_core.envelope.samples import (
    CIPHERTEXT,
    DATA_KEY,
    EDK,
    NONCE,
    TOKEN,
    V1_FIELDS,
    assert_tells_nothing_of,
    b64,
    dev_value,
    parsed_v1,
    refused,
    refused_field,
    stored_as,
    stored_of,
    told_by,
    with_field,
)
from tests.lanes import examples

envelopes = st.builds(
    EnvelopeV1,
    encrypted_data_key=st.binary(min_size=1, max_size=400) | st.just(bytes(MAX_EDK_BYTES)),
    nonce=st.binary(min_size=12, max_size=12),
    ciphertext=st.binary(min_size=17, max_size=200) | st.just(bytes(MAX_TOKEN_BYTES + 16)),
)


def test_an_envelope_is_read_into_its_three_fields() -> None:
    envelope = parsed_v1(stored_as())
    assert (envelope.encrypted_data_key, envelope.nonce, envelope.ciphertext) == (EDK, NONCE, CIPHERTEXT)
    assert envelope.format is Format.V1


def test_the_fields_are_hidden_from_repr() -> None:
    assert repr(parse_strictly(stored_as())) == "EnvelopeV1()"


@given(envelopes)
def test_what_is_serialised_is_parsed_to_the_same_envelope(envelope: EnvelopeV1) -> None:
    stored = serialise(envelope)
    assert parse_strictly(stored) == envelope
    assert stored.startswith("djF8")
    assert classify(stored).format is Format.V1
    assert len(stored) <= MAX_STORED_CHARACTERS


@settings(max_examples=examples(400))
@given(envelope=envelopes, data=st.data())
def test_every_envelope_has_exactly_one_stored_form(envelope: EnvelopeV1, data: st.DataObject) -> None:
    stored = serialise(envelope)
    start = data.draw(st.integers(0, len(stored)))
    end = data.draw(st.integers(start, min(start + 3, len(stored))))
    inserted = data.draw(st.text(max_size=3) | st.text("ABCDwxyz0189+/=-_| \n\r\t", max_size=3))
    changed = stored[:start] + inserted + stored[end:]
    try:
        read = parse_strictly(changed)
    except EnvelopeError:
        assert changed != stored
    else:
        assert serialise(read) == changed


@given(st.text() | st.text("djF8=+/ABCxyz01|", max_size=60).map(lambda t: "djF8" + t))
def test_any_other_text_is_refused_with_an_error_of_ours(text: str) -> None:
    refused(text)


# Strictness


@pytest.mark.parametrize("stored", [None, ""])
def test_an_empty_value_is_no_envelope(stored: str | None) -> None:
    error = refused(stored)
    assert isinstance(error, UnsupportedFormatError)
    assert "empty" in str(error)


def test_an_envelope_cut_at_any_length_does_not_open() -> None:
    stored, data_key = stored_as(), DataKey(DATA_KEY)
    assert open_envelope(parse_strictly(stored), data_key) == Secret.of(TOKEN)
    for length in range(len(stored)):
        cut = stored[:length]
        with pytest.raises(EnvelopeError) as caught:
            open_envelope(parse_strictly(cut), data_key)
        assert_tells_nothing_of(caught.value, cut)


@pytest.mark.parametrize("place", [0, 4, 5, 200, -1, -4])
@pytest.mark.parametrize(
    "character", ["-", "_", " ", "\n", "\r\n", "\t", "\0", "=", "|", "é", "\ud800", "\u200b", "٣"]
)
def test_a_foreign_character_anywhere_is_refused(place: int, character: str) -> None:
    stored = stored_as()
    place %= len(stored)
    refused(stored[:place] + character + stored[place:])
    if stored[place] != character:
        refused(stored[:place] + character + stored[place + 1 :])


@pytest.mark.parametrize(
    "character", ["\n", "\r\n", " ", "\t", "\0", "=", "==", "A", "é", "\ud800", "\u200b"]
)
def test_nothing_may_follow_or_precede_the_envelope(character: str) -> None:
    assert refused_field(stored_as() + character) == "envelope"
    refused(character + stored_as())


@pytest.mark.parametrize("name", V1_FIELDS)
@pytest.mark.parametrize("character", ["-", "_", " ", "\n", "\t", "\0", "=", "!", "\x80"])
def test_a_foreign_character_in_a_field_is_refused_by_its_name(name: str, character: str) -> None:
    text = {"encrypted data key": b64(EDK), "nonce": b64(NONCE), "ciphertext": b64(CIPHERTEXT)}[name]
    assert refused_field(with_field(name, text[:5] + character + text[6:])) == name
    assert refused_field(with_field(name, text[:5] + character + text[5:])) == name
    assert refused_field(with_field(name, text + character)) == name
    assert refused_field(with_field(name, character + text)) == name


@pytest.mark.parametrize("name", V1_FIELDS)
def test_the_urlsafe_alphabet_is_refused(name: str) -> None:
    raw = b"\xff\xef\xbe" * 4
    assert {"+", "/"} & set(b64(raw))
    assert refused_field(with_field(name, base64.urlsafe_b64encode(raw).decode())) == name


@pytest.mark.parametrize("length", [184, 185])  # two padding characters, one
def test_padding_must_be_there_and_no_more_than_needed(length: int) -> None:
    text = b64(os.urandom(length))
    assert text.endswith("=")
    assert parse_strictly(with_field("encrypted data key", text))
    for wrong in (text.rstrip("="), text[:-1], text + "=", text + "====", text.replace("=", "")):
        if wrong != text:
            assert refused_field(with_field("encrypted data key", wrong)) == "encrypted data key"


def test_padding_of_the_whole_must_be_there_and_no_more_than_needed() -> None:
    lengths = set()
    for extra in range(3):
        stored = stored_as(edk=EDK + bytes(3 * extra), ciphertext=CIPHERTEXT + bytes(extra))
        padding = len(stored) - len(stored.rstrip("="))
        lengths.add(padding)
        assert parse_strictly(stored)
        assert refused_field(stored + "=") == "envelope"
        for kept in range(padding):
            assert refused_field(stored.rstrip("=") + "=" * kept) == "envelope"
    assert lengths & {1, 2}


@pytest.mark.parametrize("name", V1_FIELDS)
def test_bits_behind_the_last_byte_are_refused(name: str) -> None:
    """`QQ==` and `QR==` decode to the same byte; only the first is canonical."""
    raw = {"encrypted data key": b"k" * 184, "nonce": b"n" * 13, "ciphertext": b"c" * 40}[name]
    text = b64(raw)
    assert text.endswith("==")
    spelled_otherwise = text[:-3] + chr(ord(text[-3]) + 1) + "=="
    assert base64.b64decode(spelled_otherwise) == raw
    assert refused_field(with_field(name, spelled_otherwise)) == name
    error = refused(with_field(name, spelled_otherwise))
    assert "canonical" in str(error)


def test_bits_behind_the_last_byte_of_the_whole_are_refused() -> None:
    stored = next(
        s for n in range(3) if (s := stored_as(edk=bytes(184), ciphertext=bytes(40 + 3 * n))).endswith("=")
    )
    last = stored.rstrip("=")[-1]
    spelled_otherwise = stored.rstrip("=")[:-1] + chr(ord(last) + 1) + "=" * stored.count("=")
    assert base64.b64decode(spelled_otherwise) == base64.b64decode(stored)
    assert refused_field(spelled_otherwise) == "envelope"


@pytest.mark.parametrize("count", [1, 2, 3, 5, 6, 7, 8])
def test_another_number_of_fields_is_refused(count: int) -> None:
    stored = stored_of(*[b64(EDK), b64(NONCE), b64(CIPHERTEXT), *[b64(b"more")] * 5][: count - 1])
    error = refused(stored)
    if count > 1:
        assert error.field == "envelope"  # type: ignore[attr-defined]
        assert f"{count} fields" in str(error)


def test_four_fields_are_read() -> None:
    assert parse_strictly(stored_of(b64(EDK), b64(NONCE), b64(CIPHERTEXT)))


@pytest.mark.parametrize("name", V1_FIELDS)
def test_an_empty_field_is_refused_by_its_name(name: str) -> None:
    assert refused_field(with_field(name, "")) == name


@pytest.mark.parametrize("length", [n for n in range(25) if n != 12])
def test_a_nonce_of_another_length_is_refused(length: int) -> None:
    assert refused_field(stored_as(nonce=bytes(length))) == "nonce"
    with pytest.raises(MalformedEnvelopeError, match=f"nonce: {length} bytes"):
        serialise(EnvelopeV1(EDK, bytes(length), CIPHERTEXT))


@pytest.mark.parametrize(
    ("length", "read"), [(0, False), (1, True), (6144, True), (6145, False), (9000, False)]
)
def test_an_encrypted_data_key_has_1_to_6144_bytes(length: int, read: bool) -> None:
    if read:
        assert parse_strictly(stored_as(edk=bytes(length))).encrypted_data_key == bytes(length)
        return
    assert refused_field(stored_as(edk=bytes(length))) == "encrypted data key"
    with pytest.raises(MalformedEnvelopeError, match="encrypted data key"):
        serialise(EnvelopeV1(bytes(length), NONCE, CIPHERTEXT))


@pytest.mark.parametrize(
    ("length", "read"),
    [(0, False), (1, False), (15, False), (16, False), (17, True), (65_552, True), (65_553, False)],
)
def test_a_ciphertext_holds_a_tag_and_at_least_one_byte(length: int, read: bool) -> None:
    if read:
        assert parsed_v1(stored_as(ciphertext=bytes(length))).ciphertext == bytes(length)
        return
    assert refused_field(stored_as(ciphertext=bytes(length))) == "ciphertext"
    with pytest.raises(MalformedEnvelopeError, match="ciphertext"):
        serialise(EnvelopeV1(EDK, NONCE, bytes(length)))


def test_ten_megabytes_are_refused_before_they_are_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    decode = "crypto_core.envelope.fields.binascii.a2b_base64"
    monkeypatch.setattr(decode, lambda *_a, **_k: pytest.fail("decoded"))
    for prefix, read in (("djF8", parse), ("djJ8", parse), ("ZGV2f", open_dev)):
        with pytest.raises(MalformedEnvelopeError) as caught:
            read(prefix + "A" * 10_000_000)
        assert caught.value.field == "envelope"
        assert len(told_by(caught.value)) < 2000


@pytest.mark.parametrize("start", ["", "ghp_", "ZGV2f", "{"])
def test_ten_megabytes_of_something_else_are_refused_too(start: str) -> None:
    with pytest.raises(UnsupportedFormatError) as caught:
        parse_strictly(start + "A" * 10_000_000)
    assert len(told_by(caught.value)) < 2000


def test_the_largest_envelope_is_read() -> None:
    largest = EnvelopeV1(os.urandom(6144), NONCE, os.urandom(65_536 + 16))
    assert parse_strictly(serialise(largest)) == largest


@pytest.mark.parametrize(
    "stored",
    [
        b64(stored_as().encode()),
        stored_as()[1:],
        "DJF8" + stored_as()[4:],
        "djF8",
        "djF8====",
        "djF8" + "A" * 60,
        stored_of(b64(EDK), b64(NONCE), b64(CIPHERTEXT), version="v1 "),
        stored_of(b64(EDK), b64(NONCE), b64(CIPHERTEXT), version="V1"),
        stored_of(b64(EDK), b64(NONCE), b64(CIPHERTEXT), version="v3"),
        stored_of(EDK.hex(), NONCE.hex(), CIPHERTEXT.hex()),
        stored_of(b64(b64(EDK).encode()), b64(b64(NONCE).encode()), b64(CIPHERTEXT)),
        '{"v": 1, "edk": "…"}',
        "  ",
        "\0",
        "\ud800",
        "ünïcödé-token",
    ],
)
def test_what_only_resembles_an_envelope_is_refused(stored: str) -> None:
    refused(stored)


@pytest.mark.parametrize(
    ("stored", "says"),
    [
        (b64(stored_as().encode()), "plaintext or corrupt"),
        ("hunter2hunter2", "plaintext or corrupt"),
        ("ghp_abcdefghijkl", "is plaintext"),
        (dev_value(b"a token"), "dev format"),
    ],
    ids=["encoded twice", "unrecognised", "plaintext", "dev"],
)
def test_another_format_is_called_by_its_name(stored: str, says: str) -> None:
    error = refused(stored)
    assert isinstance(error, UnsupportedFormatError)
    assert says in str(error)

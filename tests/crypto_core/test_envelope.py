"""The stored format: what is read, what is refused, and that refusals tell nothing."""

from __future__ import annotations

import base64
import binascii
import os
from random import Random
from typing import Any

import pytest
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_core.envelope import (
    DEV_KEY,
    MAX_EDK_BYTES,
    MAX_STORED_CHARACTERS,
    MAX_TOKEN_BYTES,
    PROVIDER_PREFIXES,
    Envelope,
    EnvelopeV1,
    Format,
    classify,
    edk_prefix,
    open_dev,
    open_envelope,
    parse,
    seal,
    serialise,
)
from crypto_core.errors import (
    AuthenticationFailedError,
    EnvelopeError,
    InvalidTokenError,
    MalformedEnvelopeError,
    SettingsError,
    UnsupportedFormatError,
)
from crypto_core.secret import DataKey, Secret

PUBLISHED_DEV_KEY = "Uqktv94Z9tHa5WsVKJVtBsc-QylZWQ4wTg3_sXekPaA="
FIELDS = ("encrypted data key", "nonce", "ciphertext")

_bytes = Random(20_260_701).randbytes
EDK = bytes.fromhex("0102030078") + bytes(range(100, 132)) + _bytes(147)
NONCE = _bytes(12)
DATA_KEY = _bytes(32)
TOKEN = "ghp_" + base64.b64encode(_bytes(24)).decode()
CIPHERTEXT = AESGCM(DATA_KEY).encrypt(NONCE, TOKEN.encode(), None)

envelopes = st.builds(
    Envelope,
    EnvelopeV1,
    encrypted_data_key=st.binary(min_size=1, max_size=400) | st.just(bytes(MAX_EDK_BYTES)),
    nonce=st.binary(min_size=12, max_size=12),
    ciphertext=st.binary(min_size=17, max_size=200) | st.just(bytes(MAX_TOKEN_BYTES + 16)),
)


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def stored_of(*fields: str, version: str = "v1") -> str:
    return b64("|".join((version, *fields)).encode())


def stored_as(edk: bytes = EDK, nonce: bytes = NONCE, ciphertext: bytes = CIPHERTEXT) -> str:
    return stored_of(b64(edk), b64(nonce), b64(ciphertext))


def with_field(name: str, text: str) -> str:
    """The stored form whose field called `name` is written as `text`."""
    written = dict(zip(FIELDS, (b64(EDK), b64(NONCE), b64(CIPHERTEXT)), strict=True))
    return stored_of(*(written | {name: text}).values())


def dev_value(token: bytes, key: str = PUBLISHED_DEV_KEY) -> str:
    return b64(b"dev|" + Fernet(key).encrypt(token))


def told_by(error: BaseException) -> str:
    """All that an exception and what it came from could tell a log or a screen."""
    told, links = [], [error]
    while links:
        link = links.pop()
        told += [str(link), repr(link), repr(link.args)]
        told += [repr(getattr(link, n)) for n in dir(link) if not n.startswith("_") and n != "with_traceback"]
        links += [e for e in (link.__cause__, link.__context__) if e is not None]
    return "\n".join(told)


def assert_tells_nothing_of(error: BaseException, stored: str | None) -> None:
    """No eight characters in a row of the input, nor of what it decodes to, are in the error or its chain."""
    told = told_by(error)
    inner = leniently_decoded(stored or "")
    for part in (stored or "", inner.decode("latin-1"), repr(inner)[2:-1]):
        short = part[:2000]
        assert not [short[i : i + 8] for i in range(len(short) - 7) if short[i : i + 8] in told]


def leniently_decoded(text: str) -> bytes:
    known = "".join(c for c in text if c.isascii() and (c.isalnum() or c in "+/"))
    try:
        return base64.b64decode(known + "=" * (-len(known) % 4))
    except binascii.Error:
        return base64.b64decode(known[: len(known) // 4 * 4])


def refused(stored: Any) -> EnvelopeError:
    with pytest.raises(EnvelopeError) as caught:
        parse(stored)
    assert_tells_nothing_of(caught.value, stored)
    return caught.value


def refused_field(stored: str) -> str:
    error = refused(stored)
    assert isinstance(error, MalformedEnvelopeError)
    assert f"Malformed {error.field}:" in str(error)
    assert error.remedy
    return error.field


# Reading and writing


def test_an_envelope_is_read_into_its_three_fields() -> None:
    envelope = parse(stored_as())
    assert (envelope.encrypted_data_key, envelope.nonce, envelope.ciphertext) == (EDK, NONCE, CIPHERTEXT)
    assert envelope.version is Format.V1


def test_the_fields_are_hidden_from_repr() -> None:
    assert repr(parse(stored_as())) == "EnvelopeV1()"


@given(envelopes)
def test_what_is_serialised_is_parsed_to_the_same_envelope(envelope: Envelope) -> None:
    stored = serialise(envelope)
    assert parse(stored) == envelope
    assert stored.startswith("djF8")
    assert classify(stored).format is Format.V1
    assert len(stored) <= MAX_STORED_CHARACTERS


@settings(max_examples=400)
@given(envelope=envelopes, data=st.data())
def test_every_envelope_has_exactly_one_stored_form(envelope: Envelope, data: st.DataObject) -> None:
    stored = serialise(envelope)
    start = data.draw(st.integers(0, len(stored)))
    end = data.draw(st.integers(start, min(start + 3, len(stored))))
    inserted = data.draw(st.text(max_size=3) | st.text("ABCDwxyz0189+/=-_| \n\r\t", max_size=3))
    changed = stored[:start] + inserted + stored[end:]
    try:
        read = parse(changed)
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
    assert open_envelope(parse(stored), data_key) == Secret.of(TOKEN)
    for length in range(len(stored)):
        cut = stored[:length]
        with pytest.raises(EnvelopeError) as caught:
            open_envelope(parse(cut), data_key)
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


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("character", ["-", "_", " ", "\n", "\t", "\0", "=", "!", "\x80"])
def test_a_foreign_character_in_a_field_is_refused_by_its_name(name: str, character: str) -> None:
    text = {"encrypted data key": b64(EDK), "nonce": b64(NONCE), "ciphertext": b64(CIPHERTEXT)}[name]
    assert refused_field(with_field(name, text[:5] + character + text[6:])) == name
    assert refused_field(with_field(name, text[:5] + character + text[5:])) == name
    assert refused_field(with_field(name, text + character)) == name
    assert refused_field(with_field(name, character + text)) == name


@pytest.mark.parametrize("name", FIELDS)
def test_the_urlsafe_alphabet_is_refused(name: str) -> None:
    raw = b"\xff\xef\xbe" * 4
    assert {"+", "/"} & set(b64(raw))
    assert refused_field(with_field(name, base64.urlsafe_b64encode(raw).decode())) == name


@pytest.mark.parametrize("length", [184, 185])  # two padding characters, one
def test_padding_must_be_there_and_no_more_than_needed(length: int) -> None:
    text = b64(os.urandom(length))
    assert text.endswith("=")
    assert parse(with_field("encrypted data key", text))
    for wrong in (text.rstrip("="), text[:-1], text + "=", text + "====", text.replace("=", "")):
        if wrong != text:
            assert refused_field(with_field("encrypted data key", wrong)) == "encrypted data key"


def test_padding_of_the_whole_must_be_there_and_no_more_than_needed() -> None:
    lengths = set()
    for extra in range(3):
        stored = stored_as(edk=EDK + bytes(3 * extra), ciphertext=CIPHERTEXT + bytes(extra))
        padding = len(stored) - len(stored.rstrip("="))
        lengths.add(padding)
        assert parse(stored)
        assert refused_field(stored + "=") == "envelope"
        for kept in range(padding):
            assert refused_field(stored.rstrip("=") + "=" * kept) == "envelope"
    assert lengths & {1, 2}


@pytest.mark.parametrize("name", FIELDS)
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
    assert parse(stored_of(b64(EDK), b64(NONCE), b64(CIPHERTEXT)))


@pytest.mark.parametrize("name", FIELDS)
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
        assert parse(stored_as(edk=bytes(length))).encrypted_data_key == bytes(length)
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
        assert parse(stored_as(ciphertext=bytes(length))).ciphertext == bytes(length)
        return
    assert refused_field(stored_as(ciphertext=bytes(length))) == "ciphertext"
    with pytest.raises(MalformedEnvelopeError, match="ciphertext"):
        serialise(EnvelopeV1(EDK, NONCE, bytes(length)))


def test_ten_megabytes_are_refused_before_they_are_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crypto_core.envelope.base64.b64decode", lambda *_a, **_k: pytest.fail("decoded"))
    for prefix, read in (("djF8", parse), ("ZGV2f", open_dev)):
        with pytest.raises(MalformedEnvelopeError) as caught:
            read(prefix + "A" * 10_000_000)
        assert caught.value.field == "envelope"
        assert len(told_by(caught.value)) < 2000


@pytest.mark.parametrize("start", ["", "ghp_", "djJ8", "ZGV2f", "{"])
def test_ten_megabytes_of_something_else_are_refused_too(start: str) -> None:
    with pytest.raises(UnsupportedFormatError) as caught:
        parse(start + "A" * 10_000_000)
    assert len(told_by(caught.value)) < 2000


def test_the_largest_envelope_is_read() -> None:
    largest = EnvelopeV1(os.urandom(6144), NONCE, os.urandom(65_536 + 16))
    assert parse(serialise(largest)) == largest


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
        (stored_of(b64(b"arn"), b64(EDK), b64(NONCE), b64(CIPHERTEXT), version="v2"), "v2"),
    ],
    ids=["encoded twice", "unrecognised", "plaintext", "dev", "v2"],
)
def test_another_format_is_called_by_its_name(stored: str, says: str) -> None:
    error = refused(stored)
    assert isinstance(error, UnsupportedFormatError)
    assert says in str(error)


# Telling what a value is, without opening it


@pytest.mark.parametrize(
    ("provider", "prefix"),
    [
        *[("github", p) for p in ("github_pat_", "ghp_", "gho_", "ghu_", "ghs_", "ghr_")],
        *[("slack", p) for p in ("xoxb-", "xoxp-", "xoxa-", "xoxe-", "xoxr-", "xoxs-", "xapp-")],
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


# Sealing and opening


@given(st.text(min_size=1, max_size=300))
def test_what_is_sealed_is_opened(token: str) -> None:
    with Secret.of(token) as secret, DataKey(DATA_KEY) as data_key:
        stored = serialise(seal(secret, data_key, EDK))
        assert open_envelope(parse(stored), data_key).reveal() == token


def test_the_ciphertext_is_aes_256_gcm_without_additional_data() -> None:
    envelope = seal(Secret.of(TOKEN), DataKey(DATA_KEY), EDK)
    assert AESGCM(DATA_KEY).decrypt(envelope.nonce, envelope.ciphertext, None) == TOKEN.encode()
    assert open_envelope(EnvelopeV1(EDK, NONCE, CIPHERTEXT), DataKey(DATA_KEY)).reveal() == TOKEN


def test_no_nonce_comes_twice() -> None:
    token, data_key = Secret.of(TOKEN), DataKey(DATA_KEY)
    sealed = [seal(token, data_key, EDK) for _ in range(1000)]
    assert len({e.nonce for e in sealed}) == 1000
    assert len({e.ciphertext for e in sealed}) == 1000
    assert {len(e.nonce) for e in sealed} == {12}


def test_a_token_has_1_to_65536_bytes() -> None:
    longest = Secret.of("é" * 32_768)
    envelope = seal(longest, DataKey(DATA_KEY), EDK)
    assert open_envelope(parse(serialise(envelope)), DataKey(DATA_KEY)) == longest
    with pytest.raises(InvalidTokenError, match="empty"):
        seal(Secret.of(""), DataKey(DATA_KEY), EDK)
    with pytest.raises(InvalidTokenError, match="65,537 bytes"):
        seal(Secret.of("x" * 65_537), DataKey(DATA_KEY), EDK)


@pytest.mark.parametrize("length", [0, 1, 16, 24, 31, 33, 64])
def test_a_data_key_of_another_length_neither_seals_nor_opens(length: int) -> None:
    for use in (
        lambda key: seal(Secret.of(TOKEN), key, EDK),
        lambda key: open_envelope(EnvelopeV1(EDK, NONCE, CIPHERTEXT), key),
    ):
        with pytest.raises(MalformedEnvelopeError, match=f"data key: {length} bytes, expected 32"):
            use(DataKey(bytes(length)))


def test_another_data_key_does_not_open_it() -> None:
    with pytest.raises(AuthenticationFailedError) as caught:
        open_envelope(parse(stored_as()), DataKey(os.urandom(32)))
    assert_tells_nothing_of(caught.value, stored_as())
    assert TOKEN[:8] not in told_by(caught.value)


def test_nonce_and_ciphertext_of_two_envelopes_can_not_be_mixed() -> None:
    data_key = DataKey(DATA_KEY)
    first, second = (seal(Secret.of(t), data_key, EDK) for t in ("first", "second"))
    with pytest.raises(AuthenticationFailedError):
        open_envelope(EnvelopeV1(EDK, first.nonce, second.ciphertext), data_key)


def flips_of(raw: bytes) -> list[bytes]:
    number = int.from_bytes(raw)
    return [(number ^ (1 << bit)).to_bytes(len(raw)) for bit in range(len(raw) * 8)]


def test_no_flipped_bit_of_nonce_or_ciphertext_opens() -> None:
    data_key = DataKey(DATA_KEY)
    broken = [EnvelopeV1(EDK, nonce, CIPHERTEXT) for nonce in flips_of(NONCE)]
    broken += [EnvelopeV1(EDK, NONCE, ciphertext) for ciphertext in flips_of(CIPHERTEXT)]
    assert len(broken) == 8 * (12 + len(TOKEN) + 16)
    for envelope in broken:
        with pytest.raises(AuthenticationFailedError):
            open_envelope(parse(serialise(envelope)), data_key)


def test_a_flipped_bit_of_the_encrypted_data_key_is_another_encrypted_data_key() -> None:
    """Nothing but KMS authenticates it in v1: test_crypto.py shows that KMS refuses it."""
    for edk in flips_of(EDK):
        assert parse(stored_as(edk=edk)).encrypted_data_key == edk != EDK


def test_no_flipped_bit_of_the_text_inside_goes_unnoticed() -> None:
    """Version, separators, and every character of the three fields."""
    data_key, inner = DataKey(DATA_KEY), base64.b64decode(stored_as())
    unnoticed = 0
    for changed in flips_of(inner):
        try:
            envelope = parse(b64(changed))
            if envelope.encrypted_data_key == EDK:
                open_envelope(envelope, data_key)
                unnoticed += 1
        except EnvelopeError:
            pass
    assert unnoticed == 0


def test_no_flipped_bit_of_the_stored_text_goes_unnoticed() -> None:
    data_key, stored = DataKey(DATA_KEY), stored_as().encode()
    for changed in flips_of(stored):
        text = changed.decode("latin-1")
        try:
            envelope = parse(text)
        except EnvelopeError:
            continue
        if envelope.encrypted_data_key == EDK:
            with pytest.raises(AuthenticationFailedError):
                open_envelope(envelope, data_key)


# The prefix that envelopes under one key material share


@pytest.mark.parametrize("header", ["0101010078", "0102010078", "0102020078", "0102030078", "010f0f0078"])
def test_the_prefix_is_header_and_key_material_identifier(header: str) -> None:
    head = bytes.fromhex(header) + bytes(range(32))
    assert edk_prefix(head + b"rest") == head
    assert EnvelopeV1(head + b"rest", NONCE, CIPHERTEXT).edk_prefix == head


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


# The platform's development format


def test_the_published_development_key_is_known() -> None:
    assert DEV_KEY == PUBLISHED_DEV_KEY


def test_anyone_opens_a_dev_value_under_the_published_key() -> None:
    assert open_dev(dev_value(TOKEN.encode())).reveal() == TOKEN


def test_a_dev_value_under_another_key_opens_with_that_key_only() -> None:
    other = Fernet.generate_key().decode()
    stored = dev_value(TOKEN.encode(), other)
    assert open_dev(stored, other).reveal() == TOKEN
    with pytest.raises(AuthenticationFailedError, match="DEV_ENCRYPTION_KEY") as caught:
        open_dev(stored)
    assert_tells_nothing_of(caught.value, stored)


@pytest.mark.parametrize("key", ["", "short", "not base64!", "é" * 44, PUBLISHED_DEV_KEY[:-1], "A" * 43])
def test_a_development_key_that_is_none_is_a_settings_error(key: str) -> None:
    with pytest.raises(SettingsError, match="DEV_ENCRYPTION_KEY") as caught:
        open_dev(dev_value(TOKEN.encode()), key)
    if key:
        assert key not in told_by(caught.value)


@pytest.mark.parametrize(
    "stored",
    [
        b64(b"dev|"),
        b64(b"dev|gibberish"),
        b64(b"dev}gibberish"),
        b64(b"dev~gibberish"),
        b64(b"dev|" + bytes(200)),
        dev_value(TOKEN.encode())[:-4],
        dev_value(TOKEN.encode()) + "\n",
        dev_value(TOKEN.encode()) + "é",
        "ZGV2f",
    ],
    ids=range(9),
)
def test_a_broken_dev_value_is_refused(stored: str) -> None:
    with pytest.raises((MalformedEnvelopeError, AuthenticationFailedError)) as caught:
        open_dev(stored)
    assert_tells_nothing_of(caught.value, stored)


@pytest.mark.parametrize("stored", ["", "ghp_abc", stored_as(), "djJ8abc"])
def test_only_a_dev_value_is_opened_as_one(stored: str) -> None:
    with pytest.raises(UnsupportedFormatError):
        open_dev(stored)

"""The stored forms of v1 and v2: what is read, what is refused by which name, in errors that tell nothing."""

from __future__ import annotations

import base64
import os
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_core.envelope import (
    MAX_EDK_BYTES,
    MAX_STORED_CHARACTERS,
    MAX_TOKEN_BYTES,
    STORED_PREFIXES,
    Envelope,
    EnvelopeV1,
    EnvelopeV2,
    Format,
    classify,
    open_dev,
    open_envelope,
    parse,
    parse_strictly,
    seal,
    serialise,
)
from crypto_core.values import errors
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import DataKey, Secret
from tests.crypto_core.envelope import samples
from tests.crypto_core.envelope.samples import (
    CIPHERTEXT,
    DATA_KEY,
    EDK,
    KEY_ARN,
    NONCE,
    REF,
    TOKEN,
    b64,
    fields_of,
    opened,
    parsed_v2,
    refused,
    refused_field,
    sealed_v1,
    sealed_v2,
    stored_as,
    stored_of,
    stored_v2,
    stored_with,
    told_by,
    with_field,
)
from tests.lanes import examples

MRK_ARN = "arn:aws:kms:us-east-1:123456789012:key/mrk-" + "0af7" * 8
KEY_ARNS = (
    KEY_ARN,
    MRK_ARN,
    "arn:aws-us-gov:kms:us-gov-west-1:123456789012:key/0b7f4c1e-1111-4222-8333-4444abcd9f2c",
    "arn:aws-cn:kms:cn-north-1:123456789012:key/0b7f4c1e-1111-4222-8333-4444abcd9f2c",
    "arn:aws:kms:us-east-1:123456789012:key/mrk-0b7f4c1e-1111-4222-8333-4444abcd9f2c",
)
LONGEST_ARN = KEY_ARN.replace("eu-west-1", "r" * (120 - len(KEY_ARN) + 9))

V1, V2 = EnvelopeV1(EDK, NONCE, CIPHERTEXT), sealed_v2()
BOTH = pytest.mark.parametrize("envelope", [V1, V2], ids=["v1", "v2"])
EACH_FIELD = pytest.mark.parametrize(
    ("envelope", "name"), [(e, name) for e in (V1, V2) for name in e.field_names], ids=str
)
SEALED = pytest.mark.parametrize("sealed", [sealed_v1, sealed_v2], ids=["v1", "v2"])
_parts: dict[str, Any] = {
    "encrypted_data_key": st.binary(min_size=1, max_size=400) | st.just(bytes(MAX_EDK_BYTES)),
    "nonce": st.binary(min_size=12, max_size=12),
    "ciphertext": st.binary(min_size=17, max_size=200) | st.just(bytes(MAX_TOKEN_BYTES + 16)),
}
envelopes = st.builds(EnvelopeV1, **_parts) | st.builds(
    EnvelopeV2,
    key_arn=st.sampled_from([*KEY_ARNS, LONGEST_ARN]),
    salt=st.binary(min_size=32, max_size=32),
    commitment=st.binary(min_size=32, max_size=32),
    **_parts,
)


def written_with(envelope: Envelope, name: str, text: str) -> str:
    """The stored form of which one field is written as `text`."""
    texts = {n: b64(content) for n, content in fields_of(envelope).items()} | {name: text}
    return stored_of(*texts.values(), version=envelope.format)


def test_an_envelope_is_read_into_its_parts() -> None:
    v1 = samples.parsed_v1(stored_as())
    assert (v1.encrypted_data_key, v1.nonce, v1.ciphertext, v1.format) == (EDK, NONCE, CIPHERTEXT, Format.V1)
    committed = bytes(range(32)) + bytes(range(100, 132)) + bytes(range(20))
    envelope = parsed_v2(stored_v2(committed=committed))
    assert envelope.format is Format.V2
    assert (envelope.key_arn, envelope.encrypted_data_key, envelope.nonce) == (KEY_ARN, EDK, NONCE)
    assert envelope.salt + envelope.commitment + envelope.ciphertext == committed
    assert [len(part) for _, part in envelope.parts()] == [len(KEY_ARN), len(EDK), 12, 32, 32, 20]
    assert envelope.named_key == KEY_ARN


def test_all_but_the_key_arn_is_hidden_from_repr() -> None:
    assert repr(V1) == "EnvelopeV1()"
    assert repr(V2) == f"EnvelopeV2(key_arn={KEY_ARN!r})"


@given(envelopes)
def test_what_is_serialised_is_parsed_to_the_same_envelope(envelope: Envelope) -> None:
    stored = serialise(envelope)
    assert parse_strictly(stored) == envelope
    assert stored.startswith(STORED_PREFIXES[envelope.format])
    assert classify(stored).format is envelope.format
    assert len(stored) <= MAX_STORED_CHARACTERS


@settings(max_examples=examples(800))
@given(envelope=envelopes, data=st.data())
def test_every_envelope_has_exactly_one_stored_form(envelope: Envelope, data: st.DataObject) -> None:
    stored = serialise(envelope)
    start = data.draw(st.integers(0, len(stored)))
    end = data.draw(st.integers(start, min(start + 3, len(stored))))
    inserted = data.draw(st.text(max_size=3) | st.text("ABCDwxyz0189+/=-_| \n\r\t", max_size=3))
    changed = stored[:start] + inserted + stored[end:]
    try:
        read = parse_strictly(changed)
    except errors.EnvelopeError:
        assert changed != stored
    else:
        assert serialise(read) == changed


@given(st.sampled_from(["", "djF8", "djJ8"]), st.text() | st.text("djF8J=+/ABCxyz01|", max_size=60))
def test_any_other_text_is_refused_with_an_error_of_ours(mark: str, text: str) -> None:
    refused(mark + text)


@pytest.mark.parametrize("stored", [None, ""])
def test_an_empty_value_is_no_envelope(stored: str | None) -> None:
    error = refused(stored)
    assert isinstance(error, errors.UnsupportedFormatError)
    assert "empty" in str(error)


@BOTH
def test_an_envelope_cut_at_any_length_does_not_open(envelope: Envelope) -> None:
    stored, data_key = serialise(envelope), DataKey(DATA_KEY)
    assert open_envelope(parse_strictly(stored), data_key, REF) == Secret.of(TOKEN)
    for length in range(len(stored)):
        with pytest.raises(errors.EnvelopeError) as caught:
            open_envelope(parse_strictly(stored[:length]), data_key, REF)
        samples.assert_tells_nothing_of(caught.value, stored[:length])


@pytest.mark.parametrize("place", [0, 4, 5, 200, -1, -4, None])
def test_a_foreign_character_anywhere_and_behind_it_is_refused(place: int | None) -> None:
    stored = stored_as()
    place = len(stored) if place is None else place % len(stored)
    for character in ("-", "_", " ", "\n", "\r\n", "\t", "\0", "=", "|", "é", "\ud800", "\u200b", "٣"):
        refused(stored[:place] + character + stored[place:])
        if stored[place : place + 1] != character:
            refused(stored[:place] + character + stored[place + 1 :])


@EACH_FIELD
def test_a_field_that_is_no_strict_base64_is_refused_by_its_name(envelope: Envelope, name: str) -> None:
    text = b64(fields_of(envelope)[name])
    assert parse_strictly(written_with(envelope, name, text)) == envelope
    urlsafe = base64.urlsafe_b64encode(b"\xff\xef\xbe" * 30).decode()
    broken = ["", urlsafe, text[:-1], text + "===="]
    for character in ("-", "_", " ", "\n", "\t", "\0", "=", "!", "\x80"):
        broken += [text[:5] + character + text[6:], text[:5] + character + text[5:]]
        broken += [text + character, character + text]
    for wrong in broken:
        assert refused_field(written_with(envelope, name, wrong)) == name


@pytest.mark.parametrize(("name", "length"), [("encrypted data key", 183), ("nonce", 12), ("ciphertext", 42)])
def test_padding_behind_a_whole_group_is_refused(name: str, length: int) -> None:
    assert parse_strictly(with_field(name, b64(bytes(length))))
    assert refused_field(with_field(name, b64(bytes(length)) + "=")) == name


@pytest.mark.parametrize("name", V1.field_names)
def test_bits_behind_the_last_byte_are_refused(name: str) -> None:
    """`QQ==` and `QR==` decode to the same byte; only the first is canonical."""
    raw = {"encrypted data key": b"k" * 184, "nonce": b"n" * 13, "ciphertext": b"c" * 40}[name]
    text = b64(raw)
    assert text.endswith("==")
    spelled_otherwise = text[:-3] + chr(ord(text[-3]) + 1) + "=="
    assert base64.b64decode(spelled_otherwise) == raw
    assert refused_field(with_field(name, spelled_otherwise)) == name
    assert "canonical" in str(refused(with_field(name, spelled_otherwise)))


# Bounds


@BOTH
def test_another_number_of_fields_is_refused(envelope: Envelope) -> None:
    fields, right = [*map(b64, envelope.to_fields())], len(envelope.field_names) + 1
    for count in {*range(1, 10)} - {right}:
        error = refused(stored_of(*[*fields, *[b64(b"more")] * 5][: count - 1], version=envelope.format))
        if count == 1:  # without a separator the value doesn't begin like an envelope
            assert isinstance(error, errors.UnsupportedFormatError)
            continue
        assert isinstance(error, errors.MalformedEnvelopeError)
        assert error.field == "envelope"
        assert f"{count} fields, {envelope.format} has {right}" in str(error)


@pytest.mark.parametrize(
    ("envelope", "name", "length", "read"),
    [
        *((e, "nonce", n, n == 12) for e in (V1, V2) for n in range(25)),
        *((e, "encrypted data key", n, 1 <= n <= 6_144) for e in (V1, V2) for n in (0, 1, 6_144, 6_145)),
        *((V1, "ciphertext", n, 17 <= n <= 65_552) for n in (0, 1, 15, 16, 17, 65_552, 65_553)),
        *((V2, "ciphertext", n, 81 <= n <= 65_616) for n in (0, 31, 64, 80, 81, 65_616, 65_617)),
    ],
    ids=str,
)
def test_a_field_is_read_within_its_bounds_alone(
    envelope: Envelope, name: str, length: int, read: bool
) -> None:
    stored = stored_with(envelope, **{name.replace(" ", "_"): bytes(length)})
    if read:
        assert fields_of(parse_strictly(stored))[name] == bytes(length)
    else:
        assert refused_field(stored) == name


@pytest.mark.parametrize(
    ("envelope", "part", "lengths"),
    [
        *((e, "encrypted_data_key", (0, 6_145)) for e in (V1, V2)),
        *((e, "nonce", (0, 11, 13)) for e in (V1, V2)),
        *((e, "ciphertext", (0, 16, 65_553)) for e in (V1, V2)),
        *((V2, part, (0, 31, 33)) for part in ("salt", "commitment")),
    ],
    ids=str,
)
def test_no_envelope_is_out_of_bounds(envelope: Any, part: str, lengths: tuple[int, ...]) -> None:
    name = part.replace("_", " ")
    for length in lengths:
        with pytest.raises(errors.MalformedEnvelopeError, match=f"{name}: {length:,} bytes"):
            replace(envelope, **{part: bytes(length)})


def test_ten_megabytes_are_refused_before_they_are_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    decode = "crypto_core.envelope.fields.binascii.a2b_base64"
    monkeypatch.setattr(decode, lambda *_a, **_k: pytest.fail("decoded"))
    for prefix, read in (("djF8", parse), ("djJ8", parse), ("ZGV2f", open_dev)):
        with pytest.raises(errors.MalformedEnvelopeError) as caught:
            read(prefix + "A" * 10_000_000)
        assert caught.value.field == "envelope"
        assert len(told_by(caught.value)) < 2000


@pytest.mark.parametrize("start", ["", "ghp_", "ZGV2f", "{"])
def test_ten_megabytes_of_something_else_are_refused_too(start: str) -> None:
    with pytest.raises(errors.UnsupportedFormatError) as caught:
        parse_strictly(start + "A" * 10_000_000)
    assert len(told_by(caught.value)) < 2000


def test_the_largest_envelope_is_read() -> None:
    assert len(LONGEST_ARN) == 120
    for largest in (
        EnvelopeV1(*map(os.urandom, (6_144, 12, 65_552))),
        EnvelopeV2(LONGEST_ARN, *map(os.urandom, (6_144, 12, 32, 32, 65_552))),
    ):
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
        *(stored_of(b64(EDK), b64(NONCE), b64(CIPHERTEXT), version=mark) for mark in ("v1 ", "V1", "v3")),
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
        (samples.dev_value(b"a token"), "dev format"),
    ],
    ids=["encoded twice", "unrecognised", "plaintext", "dev"],
)
def test_another_format_is_called_by_its_name(stored: str, says: str) -> None:
    error = refused(stored)
    assert isinstance(error, errors.UnsupportedFormatError)
    assert says in str(error)


@pytest.mark.parametrize("key_arn", KEY_ARNS)
def test_the_arn_of_a_key_is_read(key_arn: str) -> None:
    assert parsed_v2(stored_v2(key_arn=key_arn.encode())).key_arn == key_arn
    assert parsed_v2(serialise(sealed_v2(key_arn=key_arn))).named_key == key_arn


@pytest.mark.parametrize(
    "key_arn",
    [
        "",
        "arn",
        "alias/tokens",
        "arn:aws:kms:eu-west-1:123456789012:alias/tokens",
        KEY_ARN.rpartition("/")[2],
        KEY_ARN.upper(),
        KEY_ARN.replace("abcd", "ABCD"),
        KEY_ARN.replace(":kms:", ":s3:"),
        KEY_ARN.replace("123456789012", "12345678901"),
        KEY_ARN.replace("123456789012", "1234567890123"),
        KEY_ARN.replace("123456789012", "12345678901٣"),
        KEY_ARN.replace("eu-west-1", ""),
        KEY_ARN.replace("eu-west-1", "eu_west_1"),
        KEY_ARN[:-1],
        KEY_ARN + "0",
        KEY_ARN + "\n",
        KEY_ARN + "|",
        " " + KEY_ARN,
        MRK_ARN[:-1],
        MRK_ARN.replace("mrk-", "mrk_"),
        KEY_ARN.replace("eu-west-1", "r" * (121 - len(KEY_ARN) + 9)),
        "\udcff",
    ],
)
def test_what_names_no_key_is_refused_as_key_arn(key_arn: str) -> None:
    assert refused_field(stored_v2(key_arn=key_arn.encode(errors="surrogatepass"))) == "key ARN"
    with pytest.raises(errors.MalformedEnvelopeError, match="key ARN"):
        sealed_v2(key_arn=key_arn)
    with pytest.raises(errors.MalformedEnvelopeError, match="key ARN"):
        serialise(EnvelopeV2(key_arn, EDK, NONCE, bytes(32), bytes(32), bytes(17)))


# Sealing and opening


@given(st.sampled_from([sealed_v1, sealed_v2]), st.text(min_size=1, max_size=300))
def test_what_is_sealed_is_opened_for_the_same_row(sealed: Any, token: str) -> None:
    assert opened(parse(serialise(sealed(token)))) == token


def test_the_ciphertext_of_v1_is_aes_256_gcm_without_additional_data() -> None:
    envelope = sealed_v1()
    assert AESGCM(DATA_KEY).decrypt(envelope.nonce, envelope.ciphertext, None) == TOKEN.encode()
    assert opened(V1) == TOKEN


def test_no_salt_and_no_nonce_comes_twice() -> None:
    for many, parts in (
        ([sealed_v1() for _ in range(1_000)], ("nonce", "ciphertext")),
        ([sealed_v2() for _ in range(500)], ("nonce", "salt", "commitment", "ciphertext")),
    ):
        for part in parts:
            assert len({getattr(one, part) for one in many}) == len(many)


@SEALED
def test_a_token_has_1_to_65536_bytes(sealed: Any) -> None:
    longest = "é" * 32_768
    assert opened(parse(serialise(sealed(longest)))) == longest
    with pytest.raises(errors.InvalidTokenError, match="empty"):
        sealed("")
    with pytest.raises(errors.InvalidTokenError, match="65,537 bytes"):
        sealed("x" * 65_537)


@SEALED
@pytest.mark.parametrize("length", [0, 1, 16, 24, 31, 33, 64])
def test_a_data_key_of_another_length_neither_seals_nor_opens(sealed: Any, length: int) -> None:
    with pytest.raises(errors.MalformedEnvelopeError, match=f"data key: {length} bytes, expected 32"):
        sealed(data_key=bytes(length))
    with pytest.raises(errors.MalformedEnvelopeError, match=f"data key: {length} bytes, expected 32"):
        opened(sealed(), bytes(length))


def test_another_data_key_does_not_open_it() -> None:
    with pytest.raises(errors.AuthenticationFailedError) as caught:
        opened(parse(stored_as()), os.urandom(32))
    samples.assert_tells_nothing_of(caught.value, stored_as())
    assert TOKEN[:8] not in told_by(caught.value)


def test_without_a_row_v2_is_neither_sealed_nor_opened() -> None:
    data_key = DataKey(DATA_KEY)
    with pytest.raises(errors.MissingReferenceError, match="no row was named"):
        open_envelope(V2, data_key)
    with pytest.raises(errors.MissingReferenceError, match="no row was named"):
        seal(Secret.of(TOKEN), data_key, EDK, format_=Format.V2, key_arn=KEY_ARN)


@pytest.mark.parametrize(
    "ref",
    [
        TokenRef("", "c", "1"),
        TokenRef("t", "", "1"),
        TokenRef("t", "c", ""),
        TokenRef("t" * 64, "c", "1"),
        TokenRef("t", "é" * 32, "1"),
        TokenRef("t", "c", "é" * 513),
        TokenRef("t", "c", "\ud800"),
    ],
    ids=["no table", "no column", "no id", "long table", "long column", "long id", "no UTF-8"],
)
def test_a_row_out_of_bounds_is_refused(ref: TokenRef) -> None:
    with pytest.raises(errors.InvalidReferenceError):
        sealed_v2(ref=ref)
    with pytest.raises(errors.InvalidReferenceError):
        opened(V2, ref=ref)


@pytest.mark.parametrize("format_", [f for f in Format if not f.protected])
def test_nothing_is_sealed_in_a_format_that_is_no_envelope(format_: Format) -> None:
    with pytest.raises(errors.UnsupportedFormatError):
        seal(Secret.of(TOKEN), DataKey(DATA_KEY), EDK, format_=format_, key_arn=KEY_ARN, ref=REF)


def test_v2_is_rewrapped_under_its_own_key_only() -> None:
    rewrapped = V2.rewrapped(b"newer material", KEY_ARN)
    assert rewrapped.encrypted_data_key == b"newer material"
    assert dict(rewrapped.parts()) == dict(V2.parts()) | {"encrypted data key": b"newer material"}
    assert opened(parse_strictly(serialise(rewrapped))) == TOKEN
    for other in (KEY_ARN.replace("9f2c", "9f2d"), KEY_ARN.replace("eu-west-1", "us-east-1")):
        with pytest.raises(errors.RefusedError, match="bound to the key that it names") as caught:
            V2.rewrapped(b"other", other)
        assert "Re-encrypt" in str(caught.value)

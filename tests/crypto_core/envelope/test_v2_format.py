"""v2's stored form and what goes into it: what is read, what is refused, by which name."""

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
    EnvelopeV2,
    Format,
    classify,
    open_envelope,
    parse_strictly,
    seal,
    serialise,
)
from crypto_core.errors import (
    EnvelopeError,
    InvalidReferenceError,
    InvalidTokenError,
    MalformedEnvelopeError,
    MissingReferenceError,
    RefusedError,
    UnsupportedFormatError,
)
from crypto_core.references import TokenRef
from crypto_core.secret import DataKey, Secret
from tests.crypto_core.envelope.samples import (
    DATA_KEY,
    EDK,
    KEY_ARN,
    NONCE,
    REF,
    TOKEN,
    V2_FIELDS,
    assert_tells_nothing_of,
    b64,
    fields_of,
    parsed_v2,
    refused,
    refused_field,
    sealed_v2,
    stored_of,
    stored_v2,
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

envelopes = st.builds(
    EnvelopeV2,
    key_arn=st.sampled_from([*KEY_ARNS, LONGEST_ARN]),
    encrypted_data_key=st.binary(min_size=1, max_size=400) | st.just(bytes(MAX_EDK_BYTES)),
    nonce=st.binary(min_size=12, max_size=12),
    salt=st.binary(min_size=32, max_size=32),
    commitment=st.binary(min_size=32, max_size=32),
    ciphertext=st.binary(min_size=17, max_size=200) | st.just(bytes(MAX_TOKEN_BYTES + 16)),
)


def test_an_envelope_is_read_into_its_parts() -> None:
    committed = bytes(range(32)) + bytes(range(100, 132)) + bytes(range(20))
    envelope = parsed_v2(stored_v2(committed=committed))
    assert envelope.format is Format.V2
    assert (envelope.key_arn, envelope.encrypted_data_key, envelope.nonce) == (KEY_ARN, EDK, NONCE)
    assert envelope.salt + envelope.commitment + envelope.ciphertext == committed
    assert [len(part) for _, part in envelope.parts()] == [len(KEY_ARN), len(EDK), 12, 32, 32, 20]
    assert envelope.named_key == KEY_ARN


def test_all_but_the_key_arn_is_hidden_from_repr() -> None:
    assert repr(sealed_v2()) == f"EnvelopeV2(key_arn={KEY_ARN!r})"


@given(envelopes)
def test_what_is_serialised_is_parsed_to_the_same_envelope(envelope: EnvelopeV2) -> None:
    stored = serialise(envelope)
    assert parse_strictly(stored) == envelope
    assert stored.startswith("djJ8")
    assert classify(stored).format is Format.V2
    assert len(stored) <= MAX_STORED_CHARACTERS


@settings(max_examples=examples(400))
@given(envelope=envelopes, data=st.data())
def test_every_envelope_has_exactly_one_stored_form(envelope: EnvelopeV2, data: st.DataObject) -> None:
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


@given(st.text() | st.text("djJ8=+/ABCxyz01|", max_size=60).map(lambda t: "djJ8" + t))
def test_any_other_text_is_refused_with_an_error_of_ours(text: str) -> None:
    refused(text)


def test_the_largest_envelope_is_read() -> None:
    largest = EnvelopeV2(
        LONGEST_ARN,
        *map(os.urandom, (6144, 12, 32, 32, 65_536 + 16)),
    )
    assert len(LONGEST_ARN) == 120
    assert parse_strictly(serialise(largest)) == largest


def test_an_envelope_cut_at_any_length_does_not_open() -> None:
    stored, data_key = serialise(sealed_v2()), DataKey(DATA_KEY)
    assert open_envelope(parse_strictly(stored), data_key, REF) == Secret.of(TOKEN)
    for length in range(len(stored)):
        with pytest.raises(EnvelopeError) as caught:
            open_envelope(parse_strictly(stored[:length]), data_key, REF)
        assert_tells_nothing_of(caught.value, stored[:length])


# Bounds


@pytest.mark.parametrize("count", [1, 2, 3, 4, 6, 7, 8, 9])
def test_another_number_of_fields_is_refused(count: int) -> None:
    fields = [*map(b64, fields_of(sealed_v2()).values()), *[b64(b"more")] * 5]
    error = refused(stored_of(*fields[: count - 1], version="v2"))
    if count == 1:  # without a separator the value doesn't begin like v2
        assert isinstance(error, UnsupportedFormatError)
        return
    assert isinstance(error, MalformedEnvelopeError)
    assert error.field == "envelope"
    assert f"{count} fields, v2 has 5" in str(error)


@pytest.mark.parametrize("name", V2_FIELDS)
def test_a_field_that_is_no_strict_base64_is_refused_by_its_name(name: str) -> None:
    written = {n: b64(content) for n, content in fields_of(sealed_v2()).items()}
    text = written[name]
    assert parse_strictly(stored_of(*written.values(), version="v2"))
    urlsafe = base64.urlsafe_b64encode(b"\xff\xef\xbe" * 30).decode()
    broken = ["", urlsafe, text[:5] + "\n" + text[5:], " " + text, text + "=", text[:-1], text + "===="]
    for wrong in broken:
        assert refused_field(stored_of(*(written | {name: wrong}).values(), version="v2")) == name


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
    with pytest.raises(MalformedEnvelopeError, match="key ARN"):
        sealed_v2(key_arn=key_arn)
    with pytest.raises(MalformedEnvelopeError, match="key ARN"):
        serialise(EnvelopeV2(key_arn, EDK, NONCE, bytes(32), bytes(32), bytes(17)))


@pytest.mark.parametrize("length", [n for n in range(25) if n != 12])
def test_a_nonce_of_another_length_is_refused(length: int) -> None:
    assert refused_field(stored_v2(nonce=bytes(length))) == "nonce"


@pytest.mark.parametrize(("length", "read"), [(0, False), (1, True), (6144, True), (6145, False)])
def test_an_encrypted_data_key_has_1_to_6144_bytes(length: int, read: bool) -> None:
    if read:
        assert parsed_v2(stored_v2(edk=bytes(length))).encrypted_data_key == bytes(length)
    else:
        assert refused_field(stored_v2(edk=bytes(length))) == "encrypted data key"


@pytest.mark.parametrize(
    ("length", "read"),
    [(0, False), (31, False), (64, False), (80, False), (81, True), (65_616, True), (65_617, False)],
)
def test_the_last_field_holds_salt_commitment_tag_and_at_least_one_byte(length: int, read: bool) -> None:
    if read:
        assert len(parsed_v2(stored_v2(committed=bytes(length))).ciphertext) == length - 64
    else:
        assert refused_field(stored_v2(committed=bytes(length))) == "ciphertext"


@pytest.mark.parametrize(
    ("part", "lengths"),
    [
        ("encrypted_data_key", (0, 6145)),
        ("nonce", (11, 13)),
        ("salt", (0, 31, 33)),
        ("commitment", (0, 31, 33)),
        ("ciphertext", (0, 16, 65_553)),
    ],
)
def test_no_envelope_is_out_of_bounds(part: str, lengths: tuple[int, ...]) -> None:
    parts = {"encrypted_data_key": EDK, "nonce": NONCE, "salt": bytes(32), "commitment": bytes(32)}
    parts["ciphertext"] = bytes(17)
    for length in lengths:
        with pytest.raises(MalformedEnvelopeError, match=part.replace("_", " ")):
            EnvelopeV2(KEY_ARN, **(parts | {part: bytes(length)}))


# Sealing and opening


@given(st.text(min_size=1, max_size=300))
def test_what_is_sealed_is_opened_for_the_same_row(token: str) -> None:
    stored = serialise(sealed_v2(token))
    with DataKey(DATA_KEY) as data_key:
        assert open_envelope(parse_strictly(stored), data_key, REF).reveal() == token


def test_no_salt_and_no_nonce_comes_twice() -> None:
    sealed = [sealed_v2() for _ in range(500)]
    for part in ("nonce", "salt", "commitment", "ciphertext"):
        assert len({getattr(e, part) for e in sealed}) == 500


def test_a_token_has_1_to_65536_bytes() -> None:
    longest = "é" * 32_768
    with DataKey(DATA_KEY) as data_key:
        stored = serialise(sealed_v2(longest))
        assert open_envelope(parse_strictly(stored), data_key, REF).reveal() == longest
    with pytest.raises(InvalidTokenError, match="empty"):
        sealed_v2("")
    with pytest.raises(InvalidTokenError, match="65,537 bytes"):
        sealed_v2("x" * 65_537)


@pytest.mark.parametrize("length", [0, 1, 16, 24, 31, 33, 64])
def test_a_data_key_of_another_length_neither_seals_nor_opens(length: int) -> None:
    with pytest.raises(MalformedEnvelopeError, match=f"data key: {length} bytes, expected 32"):
        sealed_v2(data_key=bytes(length))
    with pytest.raises(MalformedEnvelopeError, match=f"data key: {length} bytes, expected 32"):
        open_envelope(sealed_v2(), DataKey(bytes(length)), REF)


def test_without_a_row_it_is_neither_sealed_nor_opened() -> None:
    data_key = DataKey(DATA_KEY)
    with pytest.raises(MissingReferenceError, match="no row was named"):
        open_envelope(sealed_v2(), data_key)
    with pytest.raises(MissingReferenceError, match="no row was named"):
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
    with pytest.raises(InvalidReferenceError):
        sealed_v2(ref=ref)
    with pytest.raises(InvalidReferenceError):
        open_envelope(sealed_v2(), DataKey(DATA_KEY), ref)


@pytest.mark.parametrize("format_", [f for f in Format if not f.protected])
def test_nothing_is_sealed_in_a_format_that_is_no_envelope(format_: Format) -> None:
    with pytest.raises(UnsupportedFormatError):
        seal(Secret.of(TOKEN), DataKey(DATA_KEY), EDK, format_=format_, key_arn=KEY_ARN, ref=REF)


def test_it_is_rewrapped_under_its_own_key_only() -> None:
    envelope, data_key = sealed_v2(), DataKey(DATA_KEY)
    rewrapped = envelope.rewrapped(b"newer material", KEY_ARN)
    assert rewrapped.encrypted_data_key == b"newer material"
    assert dict(rewrapped.parts()) == dict(envelope.parts()) | {"encrypted data key": b"newer material"}
    assert open_envelope(parse_strictly(serialise(rewrapped)), data_key, REF).reveal() == TOKEN
    for other in (KEY_ARN.replace("9f2c", "9f2d"), KEY_ARN.replace("eu-west-1", "us-east-1")):
        with pytest.raises(RefusedError, match="bound to the key that it names") as caught:
            envelope.rewrapped(b"other", other)
        assert "Re-encrypt" in str(caught.value)

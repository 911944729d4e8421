"""Stored values that somebody changed: every bit, every field, every mixture of two envelopes."""

from __future__ import annotations

import base64
import hmac
import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from crypto_core.envelope import Envelope, EnvelopeV1, parse_strictly, serialise
from crypto_core.values.errors import AuthenticationFailedError, EnvelopeError
from crypto_core.values.key_names import is_key_arn
from crypto_core.values.references import TokenRef
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
    flips_of,
    opened,
    refused_field,
    sealed_v1,
    sealed_v2,
    stored_as,
    stored_of,
    stored_with,
)
from tests.crypto_core.envelope.second_implementation import Row, binding_of, derived

V1 = EnvelopeV1(EDK, NONCE, CIPHERTEXT)
V2 = sealed_v2()
BOTH = pytest.mark.parametrize("envelope", [V1, V2], ids=["v1", "v2"])
BINDING = binding_of(KEY_ARN, Row(REF.table, REF.column, REF.row_id))
NOT_COMMITTED = "sealed for another row, key or data key"
NOT_AUTHENTIC = "its authentication tag does not match"


@BOTH
def test_untouched_it_opens(envelope: Envelope) -> None:
    assert opened(parse_strictly(serialise(envelope))) == TOKEN
    assert stored_with(envelope) == serialise(envelope)


# Bits


@pytest.mark.parametrize(
    ("envelope", "part", "says"),
    [
        (V1, "nonce", NOT_AUTHENTIC),
        (V1, "ciphertext", NOT_AUTHENTIC),
        (V2, "salt", NOT_COMMITTED),
        (V2, "commitment", NOT_COMMITTED),
        (V2, "nonce", NOT_AUTHENTIC),
        (V2, "ciphertext", NOT_AUTHENTIC),
    ],
)
def test_no_flipped_bit_of_what_is_authenticated_opens(envelope: Any, part: str, says: str) -> None:
    flipped = list(flips_of(getattr(envelope, part)))
    assert len(flipped) == 8 * len(dict(envelope.parts())[part]) >= 96
    for content in flipped:
        changed = parse_strictly(serialise(replace(envelope, **{part: content})))
        with pytest.raises(AuthenticationFailedError, match=says):
            opened(changed)


def test_a_flipped_bit_of_the_key_arn_names_no_key_or_another_one() -> None:
    outcomes = {"malformed": 0, "another key": 0}
    for content in flips_of(KEY_ARN.encode()):
        stored = stored_with(V2, key_ARN=content)
        if is_key_arn(content.decode("latin-1")):
            envelope = parse_strictly(stored)
            assert envelope.named_key not in (None, KEY_ARN)
            with pytest.raises(AuthenticationFailedError, match=NOT_COMMITTED):
                opened(envelope)
            outcomes["another key"] += 1
        else:
            assert refused_field(stored) == "key ARN"
            outcomes["malformed"] += 1
    assert sum(outcomes.values()) == 8 * len(KEY_ARN)
    assert min(outcomes.values()) > 50


@BOTH
def test_a_flipped_bit_of_the_encrypted_data_key_is_another_encrypted_data_key(envelope: Envelope) -> None:
    """KMS authenticates it, for v2 together with the encryption context, and refuses a changed one
    (test_crypto.py). What can be seen here is that KMS is asked about the changed one.
    """
    flipped = list(flips_of(EDK))
    assert len(flipped) == 8 * len(EDK)
    for edk in flipped:
        assert parse_strictly(stored_with(envelope, encrypted_data_key=edk)).encrypted_data_key == edk != EDK


def outcome_of(stored: str, original: Any) -> str:
    """How a changed value ends: refused, as another EDK that KMS has to judge, or opened."""
    try:
        envelope: Any = parse_strictly(stored)
        opened(envelope)
    except EnvelopeError:
        return "refused"
    changed_edk = envelope.encrypted_data_key != EDK and replace(envelope, encrypted_data_key=EDK) == original
    return "another EDK" if changed_edk else "opened"


@BOTH
@pytest.mark.parametrize("level", ["stored text", "text inside"])
def test_no_flipped_bit_of_the_text_goes_unnoticed(envelope: Envelope, level: str) -> None:
    """Version, separators, padding, and every character of every field."""
    stored = serialise(envelope)
    if level == "stored text":
        changed = [flipped.decode("latin-1") for flipped in flips_of(stored.encode())]
    else:
        changed = [b64(flipped) for flipped in flips_of(base64.b64decode(stored))]
    outcomes = [outcome_of(text, envelope) for text in changed]
    assert "opened" not in outcomes
    assert outcomes.count("refused") > 1000
    assert outcomes.count("another EDK") > 100


# Mixtures of two envelopes


OTHERS = (
    TokenRef("gh_connection", "access_token", "gh-43"),
    TokenRef("gh_connection", "refresh_token", "gh-42"),
    TokenRef("jira_connection", "access_token", "gh-42"),
)
OTHER_KEY = bytes(range(32))
OTHER_ARN = KEY_ARN.replace("9f2c", "9f2d")


@pytest.mark.parametrize("ref", OTHERS, ids=str)
def test_an_envelope_moved_to_another_row_column_or_table_does_not_open(ref: TokenRef) -> None:
    with pytest.raises(AuthenticationFailedError, match=NOT_COMMITTED) as caught:
        opened(parse_strictly(serialise(V2)), ref=ref)
    assert str(ref) in str(caught.value)


@pytest.mark.parametrize("ref", OTHERS, ids=str)
@pytest.mark.parametrize("other_arn", [KEY_ARN, OTHER_ARN], ids=["same key", "other key"])
@pytest.mark.parametrize("other_key", [DATA_KEY, OTHER_KEY], ids=["same data key", "other data key"])
def test_no_mixture_of_two_v2_envelopes_opens(ref: TokenRef, other_arn: str, other_key: bytes) -> None:
    other = sealed_v2("ghp_another-token", ref=ref, key_arn=other_arn, data_key=other_key, edk=b"other EDK")
    names = ["nonce", "salt", "commitment", "ciphertext", *(["key_arn"] if other_arn != KEY_ARN else [])]
    mixtures = 0
    for count in range(1, len(names)):
        for taken in itertools.combinations(names, count):
            mixed = replace(V2, **{name: getattr(other, name) for name in taken})
            for data_key, row in itertools.product((DATA_KEY, other_key), (REF, ref)):
                with pytest.raises(AuthenticationFailedError):
                    opened(parse_strictly(serialise(mixed)), data_key, row)
            mixtures += 1
    assert mixtures == 2 ** len(names) - 2
    assert opened(other, other_key, ref) == "ghp_another-token"


@pytest.mark.parametrize("other_key", [DATA_KEY, OTHER_KEY], ids=["same data key", "other data key"])
def test_no_mixture_of_two_v1_envelopes_opens(other_key: bytes) -> None:
    other = sealed_v1("ghp_another-token", data_key=other_key, edk=b"other EDK")
    for mixed in (replace(V1, nonce=other.nonce), replace(V1, ciphertext=other.ciphertext)):
        for data_key in (DATA_KEY, other_key):
            with pytest.raises(AuthenticationFailedError, match=NOT_AUTHENTIC):
                opened(parse_strictly(serialise(mixed)), data_key)


@BOTH
def test_with_the_encrypted_data_key_of_another_envelope_it_does_not_open(envelope: Any) -> None:
    """KMS would unwrap it, where the context allows, to the other envelope's data key."""
    unwraps = {EDK: DATA_KEY, b"other EDK": OTHER_KEY}
    swapped = parse_strictly(stored_with(envelope, encrypted_data_key=b"other EDK"))
    with pytest.raises(AuthenticationFailedError):
        opened(swapped, unwraps[swapped.encrypted_data_key])


# Lengths, order, number


@BOTH
def test_no_truncated_or_extended_field_opens(envelope: Envelope) -> None:
    tried = 0
    for name, content in fields_of(envelope).items():
        shorter = [part for n in range(1, len(content) + 1) for part in (content[n:], content[:-n])]
        longer = [content + b"\0", b"\0" + content, content + content, content + b"=", content + b"|"]
        for changed in (*shorter, *longer):
            stored = stored_with(envelope, **{name.replace(" ", "_"): changed})
            if name == "encrypted data key" and changed:
                assert parse_strictly(stored).encrypted_data_key == changed != EDK
                continue
            with pytest.raises(EnvelopeError):
                opened(parse_strictly(stored))
            tried += 1
    assert tried > 100


def test_truncating_or_extending_a_part_of_the_last_field_of_v2_does_not_open() -> None:
    parts = [V2.salt, V2.commitment, V2.ciphertext]
    for place, part in enumerate(parts):
        for changed in (part[:-1], part[1:], part + b"\0", b"\0" + part, b""):
            committed = b"".join([*parts[:place], changed, *parts[place + 1 :]])
            with pytest.raises(EnvelopeError):
                opened(parse_strictly(stored_with(V2, ciphertext=committed)))
    for order in itertools.permutations(parts):
        if list(order) != parts:
            with pytest.raises(AuthenticationFailedError):
                opened(parse_strictly(stored_with(V2, ciphertext=b"".join(order))))


@BOTH
def test_fields_in_another_order_do_not_open(envelope: Envelope) -> None:
    fields = [*map(b64, envelope.to_fields())]
    for order in itertools.permutations(fields):
        if list(order) != fields:
            with pytest.raises(EnvelopeError):
                opened(parse_strictly(stored_of(*order, version=envelope.format)))


# Downgrade and upgrade


def test_v2_stripped_to_v1_does_not_open_with_its_real_data_key() -> None:
    committed = V2.to_fields()[-1]
    for ciphertext in (committed, V2.commitment + V2.ciphertext, V2.salt + V2.ciphertext, V2.ciphertext):
        downgraded = parse_strictly(stored_as(V2.encrypted_data_key, V2.nonce, ciphertext))
        assert isinstance(downgraded, EnvelopeV1)
        with pytest.raises(AuthenticationFailedError, match=NOT_AUTHENTIC):
            opened(downgraded)


def test_the_data_key_itself_opens_nothing_of_v2() -> None:
    """Not even with the binding as additional data: what encrypts is derived from it."""
    for aad in (None, b"", BINDING):
        with pytest.raises(InvalidTag):
            AESGCM(DATA_KEY).decrypt(V2.nonce, V2.ciphertext, aad)
    for aad in (None, b""):
        with pytest.raises(InvalidTag):
            AESGCM(derived("keydeck v2 encryption", DATA_KEY, V2.salt, BINDING)).decrypt(
                V2.nonce, V2.ciphertext, aad
            )


def test_v1_dressed_as_v2_does_not_open_with_its_real_data_key() -> None:
    long = sealed_v1("ghp_" + "x" * 200)
    salt = bytes(32)
    commitment = derived("keydeck v2 commitment", DATA_KEY, salt, BINDING)
    for committed, says in (
        (long.ciphertext, NOT_COMMITTED),
        (bytes(64) + long.ciphertext, NOT_COMMITTED),
        (salt + commitment + long.ciphertext, NOT_AUTHENTIC),
    ):
        stored = stored_of(b64(KEY_ARN.encode()), b64(EDK), b64(long.nonce), b64(committed), version="v2")
        with pytest.raises(AuthenticationFailedError, match=says):
            opened(parse_strictly(stored))


# The commitment


def test_the_commitment_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []
    compare_digest = hmac.compare_digest

    def noted(a: Any, b: Any) -> bool:
        compared.append((bytes(a), bytes(b)))
        return compare_digest(a, b)

    monkeypatch.setattr("crypto_core.envelope.v2.hmac.compare_digest", noted)
    assert opened(V2) == TOKEN
    assert compared == [(V2.commitment, V2.commitment)]
    compared.clear()
    with pytest.raises(AuthenticationFailedError):
        opened(replace(V2, commitment=bytes(32)))
    assert compared == [(V2.commitment, bytes(32))]


def test_that_comparison_alone_decides_about_the_commitment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crypto_core.envelope.v2.hmac.compare_digest", lambda a, b: False)
    with pytest.raises(AuthenticationFailedError, match=NOT_COMMITTED):
        opened(V2)


def _other_row() -> str:
    return opened(V2, ref=OTHERS[0])


def _other_data_key() -> str:
    return opened(V2, OTHER_KEY)


@pytest.mark.parametrize(
    "attempt",
    [
        _other_row,
        _other_data_key,
        lambda: opened(replace(V2, key_arn=OTHER_ARN)),
        lambda: opened(replace(V2, salt=bytes(32))),
        lambda: opened(replace(V2, commitment=bytes(32))),
    ],
    ids=["other row", "other data key", "other key ARN", "other salt", "other commitment"],
)
def test_nothing_is_decrypted_before_the_commitment_agrees(
    attempt: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crypto_core.envelope.v2.primitives.gcm_decrypt", lambda *_: pytest.fail("decrypted"))
    with pytest.raises(AuthenticationFailedError, match=NOT_COMMITTED):
        attempt()


def test_what_carries_the_right_commitment_is_decrypted_and_its_tag_still_checked() -> None:
    with pytest.raises(AuthenticationFailedError, match=NOT_AUTHENTIC):
        opened(replace(V2, nonce=bytes(12)))

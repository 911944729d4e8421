"""Sealing and opening v1 envelopes with a data key."""

from __future__ import annotations

import os

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from crypto_core.envelope import EnvelopeV1, open_envelope, parse, seal, serialise
from crypto_core.errors import AuthenticationFailedError, InvalidTokenError, MalformedEnvelopeError
from crypto_core.secret import DataKey, Secret
from tests.crypto_core.envelope.samples import (
    CIPHERTEXT,
    DATA_KEY,
    EDK,
    NONCE,
    TOKEN,
    assert_tells_nothing_of,
    sealed_v1,
    stored_as,
    told_by,
)


@given(st.text(min_size=1, max_size=300))
def test_what_is_sealed_is_opened(token: str) -> None:
    with Secret.of(token) as secret, DataKey(DATA_KEY) as data_key:
        stored = serialise(seal(secret, data_key, EDK))
        assert open_envelope(parse(stored), data_key).reveal() == token


def test_the_ciphertext_is_aes_256_gcm_without_additional_data() -> None:
    envelope = sealed_v1()
    assert AESGCM(DATA_KEY).decrypt(envelope.nonce, envelope.ciphertext, None) == TOKEN.encode()
    assert open_envelope(EnvelopeV1(EDK, NONCE, CIPHERTEXT), DataKey(DATA_KEY)).reveal() == TOKEN


def test_no_nonce_comes_twice() -> None:
    sealed = [sealed_v1() for _ in range(1000)]
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
    first, second = sealed_v1("first"), sealed_v1("second")
    with pytest.raises(AuthenticationFailedError):
        open_envelope(EnvelopeV1(EDK, first.nonce, second.ciphertext), data_key)

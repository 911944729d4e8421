"""Cipher: rewrap and re-encrypt move a token to another key, or fail and change nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from crypto_core.aws.kms import KmsApi
from crypto_core.envelope import parse, serialise
from crypto_core.keyring import cipher as cipher_module
from crypto_core.keyring.cipher import TokenCipher
from crypto_core.keyring.kms_keyring import KmsKeyring
from crypto_core.values import errors
from crypto_core.values.secret import Secret
from tests.crypto_core.keyring.cipher.scene import TOKEN, ChangedKeyring, data_key_of
from tests.crypto_core.keyring.scene import NewKey


@pytest.fixture
def old(new_key: NewKey) -> str:
    return new_key()


@pytest.fixture
def new(new_key: NewKey) -> str:
    return new_key()


@pytest.fixture
def keyring(kms: KmsApi, old: str, new: str) -> KmsKeyring:
    return KmsKeyring(kms, write_key=old, trusted=[new])


def test_rewrap_changes_the_encrypted_data_key_and_nothing_else(
    kms: KmsApi, client: Any, new: str, keyring: KmsKeyring
) -> None:
    cipher = TokenCipher(keyring)
    sealed = cipher.encrypt(TOKEN)
    before_calls = kms.calls
    moved = cipher.rewrap(sealed.stored, new)
    assert kms.calls == before_calls + 3

    before, after = parse(sealed.stored), parse(moved.stored)
    assert after.nonce == before.nonce
    assert after.ciphertext == before.ciphertext
    assert after.encrypted_data_key != before.encrypted_data_key
    assert data_key_of(client, after) == data_key_of(client, before)
    assert (moved.source, moved.wrapped_by.key_arn) == (sealed.wrapped_by, new)


def test_a_rewrapped_token_opens_under_the_new_key_when_the_old_one_is_disabled(
    kms: KmsApi, client: Any, old: str, new: str
) -> None:
    old_only, new_only = (TokenCipher(KmsKeyring(kms, write_key=key)) for key in (old, new))
    sealed = old_only.encrypt(TOKEN)
    moved = old_only.rewrap(sealed.stored, new)
    client.disable_key(KeyId=old)
    assert new_only.decrypt(moved.stored).reveal() == TOKEN
    with pytest.raises(errors.KeyDisabledError):
        old_only.decrypt(sealed.stored)
    with pytest.raises(errors.IncorrectKeyError):
        old_only.decrypt(moved.stored)


def test_rewrap_under_the_same_key_wraps_anew(kms: KmsApi, new_key: NewKey) -> None:
    key = new_key()
    cipher = TokenCipher(KmsKeyring(kms, write_key=key))
    sealed = cipher.encrypt(TOKEN)
    moved = cipher.rewrap(sealed.stored, key)
    assert moved.stored != sealed.stored
    assert cipher.decrypt(moved.stored).reveal() == TOKEN


def test_a_damaged_token_is_not_rewrapped(kms: KmsApi, new_key: NewKey) -> None:
    key, new = new_key(), new_key()
    cipher = TokenCipher(KmsKeyring(kms, write_key=key))
    envelope = parse(cipher.encrypt(TOKEN).stored)
    damaged = serialise(replace(envelope, ciphertext=bytes(len(envelope.ciphertext))))
    before = kms.calls
    with pytest.raises(errors.AuthenticationFailedError):
        cipher.rewrap(damaged, new)
    assert kms.calls == before + 1


def test_rewrap_fails_when_the_new_encrypted_data_key_holds_another_data_key(
    new: str, keyring: KmsKeyring
) -> None:
    another = keyring.generate(new).encrypted_data_key
    changed = ChangedKeyring(keyring, rewrap=lambda _, done: replace(done, encrypted_data_key=another))
    stored = TokenCipher(keyring).encrypt(TOKEN).stored
    with pytest.raises(errors.AuthenticationFailedError):
        TokenCipher(changed).rewrap(stored, new)


@pytest.mark.parametrize("trusted", [True, False])
def test_rewrap_fails_when_the_data_key_stays_under_the_old_key(
    kms: KmsApi, old: str, new: str, trusted: bool
) -> None:
    """The old encrypted data key opens the token as well; that must not pass for success."""
    keyring = KmsKeyring(kms, write_key=old, trusted=[new] if trusted else [])
    changed = ChangedKeyring(keyring, rewrap=lambda given, done: replace(done, encrypted_data_key=given))
    stored = TokenCipher(keyring).encrypt(TOKEN).stored
    with pytest.raises(errors.IncorrectKeyError):
        TokenCipher(changed).rewrap(stored, new)


def test_rewrap_fails_when_the_new_encrypted_data_key_is_damaged(new: str, keyring: KmsKeyring) -> None:
    stored = TokenCipher(keyring).encrypt(TOKEN).stored
    for blob, kind in (
        (b"", errors.MalformedEnvelopeError),
        (bytes(184), errors.KmsError),
        (bytes(6145), errors.MalformedEnvelopeError),
    ):
        changed = ChangedKeyring(keyring, rewrap=lambda _, done, b=blob: replace(done, encrypted_data_key=b))
        with pytest.raises(kind):
            TokenCipher(changed).rewrap(stored, new)


def test_rewrap_fails_when_what_opens_is_not_the_token(
    new: str, keyring: KmsKeyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    cipher = TokenCipher(keyring)
    stored = cipher.encrypt(TOKEN).stored
    opened = iter([Secret.of(TOKEN), Secret.of("a different token")])
    monkeypatch.setattr(cipher_module, "open_envelope", lambda *_: next(opened))
    with pytest.raises(errors.AuthenticationFailedError, match="does not hold the token") as caught:
        cipher.rewrap(stored, new)
    assert TOKEN not in repr(caught.value)


def test_rewrap_to_a_key_that_may_not_be_used_changes_nothing(
    kms: KmsApi, client: Any, old: str, new: str
) -> None:
    cipher = TokenCipher(KmsKeyring(kms, write_key=old))
    stored = cipher.encrypt(TOKEN).stored
    client.disable_key(KeyId=new)
    with pytest.raises(errors.KeyDisabledError, match=new):
        cipher.rewrap(stored, new)
    assert cipher.decrypt(stored).reveal() == TOKEN


def test_reencrypt_changes_data_key_nonce_and_ciphertext(
    kms: KmsApi, client: Any, new: str, keyring: KmsKeyring
) -> None:
    cipher = TokenCipher(keyring)
    sealed = cipher.encrypt(TOKEN)
    before_calls = kms.calls
    renewed = cipher.reencrypt(sealed.stored, new)
    assert kms.calls == before_calls + 2

    before, after = parse(sealed.stored), parse(renewed.stored)
    old_data_key, data_key = data_key_of(client, before), data_key_of(client, after)
    assert data_key != old_data_key
    assert after.encrypted_data_key != before.encrypted_data_key
    assert after.nonce != before.nonce
    assert after.ciphertext != before.ciphertext
    assert AESGCM(data_key).decrypt(after.nonce, after.ciphertext, None) == TOKEN.encode()
    assert (renewed.source, renewed.wrapped_by.key_arn) == (sealed.wrapped_by, new)
    assert cipher.decrypt(renewed.stored).reveal() == TOKEN


def test_reencrypt_without_a_key_writes_under_the_configured_one(kms: KmsApi, old: str, new: str) -> None:
    stored = TokenCipher(KmsKeyring(kms, write_key=old)).encrypt(TOKEN).stored
    renewed = TokenCipher(KmsKeyring(kms, write_key=new, trusted=[old])).reencrypt(stored)
    assert (renewed.wrapped_by.key_arn, renewed.source and renewed.source.key_arn) == (new, old)

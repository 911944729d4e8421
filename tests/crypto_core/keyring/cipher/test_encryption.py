"""Cipher: tokens and development values are encrypted, decrypted and wiped; what is none is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from crypto_core.aws.kms import KmsApi
from crypto_core.envelope import Format, parse, serialise
from crypto_core.keyring import cipher as cipher_module
from crypto_core.keyring.cipher import TokenCipher
from crypto_core.keyring.kms_keyring import KmsKeyring
from crypto_core.values import errors
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import DataKey, Secret, exposed
from tests.crypto_core.keyring.cipher.scene import TOKEN, ChangedKeyring, data_key_of
from tests.crypto_core.keyring.scene import NewKey

# Encrypt and decrypt


@pytest.mark.parametrize("token", [TOKEN, "x", "grüße 東京 🔑", "line\nbreak\0nul", "é" * 32_768])
def test_an_encrypted_token_decrypts_to_itself(kms: KmsApi, new_key: NewKey, token: str) -> None:
    key = new_key()
    cipher = TokenCipher(KmsKeyring(kms, write_key=key))
    sealed = cipher.encrypt(token)
    assert cipher.decrypt(sealed.stored).reveal() == token
    assert (sealed.wrapped_by.key_arn, sealed.source) == (key, None)
    assert kms.calls == 2
    assert cipher.open(sealed.stored).wrapped_by == sealed.wrapped_by


def test_two_encryptions_share_neither_data_key_nor_nonce_nor_ciphertext(
    kms: KmsApi, client: Any, new_key: NewKey
) -> None:
    cipher = TokenCipher(KmsKeyring(kms, write_key=new_key()))
    first, second = (parse(cipher.encrypt(TOKEN).stored) for _ in range(2))
    assert first.nonce != second.nonce
    assert first.ciphertext != second.ciphertext
    assert data_key_of(client, first) != data_key_of(client, second)


def test_a_token_is_encrypted_under_the_key_that_is_named(kms: KmsApi, new_key: NewKey) -> None:
    written_under, named = new_key(), new_key()
    cipher = TokenCipher(KmsKeyring(kms, write_key=written_under))
    assert cipher.encrypt(TOKEN, named).wrapped_by.key_arn == named
    assert cipher.encrypt(Secret.of(TOKEN)).wrapped_by.key_arn == written_under


@pytest.mark.parametrize("token", [b"ghp_bytes", None, 7])
def test_what_is_no_text_is_refused_before_kms_is_asked(kms: KmsApi, new_key: NewKey, token: Any) -> None:
    with pytest.raises(errors.InvalidTokenError):
        TokenCipher(KmsKeyring(kms, write_key=new_key())).encrypt(token)
    assert kms.calls == 0


@pytest.mark.parametrize("token", ["", "x" * 65_537])
def test_an_empty_or_oversize_token_is_refused(kms: KmsApi, new_key: NewKey, token: str) -> None:
    with pytest.raises(errors.InvalidTokenError):
        TokenCipher(KmsKeyring(kms, write_key=new_key())).encrypt(token)


@pytest.mark.parametrize("stored", ["", "ghp_plaintext", "djF8!", "djJ8abcd", "hunter2"])
def test_what_is_no_envelope_is_refused_before_kms_is_asked(
    kms: KmsApi, new_key: NewKey, stored: str
) -> None:
    cipher = TokenCipher(KmsKeyring(kms, write_key=new_key()))
    for use in (cipher.decrypt, cipher.open, lambda s: cipher.rewrap(s, new_key()), cipher.reencrypt):
        with pytest.raises(errors.EnvelopeError):
            use(stored)
    assert kms.calls == 0


def test_a_token_under_an_untrusted_key_is_not_opened(kms: KmsApi, new_key: NewKey) -> None:
    theirs = TokenCipher(KmsKeyring(kms, write_key=new_key())).encrypt(TOKEN)
    with pytest.raises(errors.IncorrectKeyError):
        TokenCipher(KmsKeyring(kms, write_key=new_key())).decrypt(theirs.stored)


def test_the_likely_key_saves_a_call(kms: KmsApi, new_key: NewKey) -> None:
    first, second = new_key(), new_key()
    stored = TokenCipher(KmsKeyring(kms, write_key=second)).encrypt(TOKEN).stored
    before = kms.calls
    cipher = TokenCipher(KmsKeyring(kms, write_key=first, trusted=[second]))
    assert cipher.decrypt(stored, likely=second).reveal() == TOKEN
    assert kms.calls == before + 1


def test_a_reader_that_demands_v2_opens_no_v1(kms: KmsApi, new_key: NewKey) -> None:
    keyring = KmsKeyring(kms, write_key=new_key())
    ref = TokenRef("gh_connection", "access_token", "gh-1")
    v1 = TokenCipher(keyring).encrypt(TOKEN).stored
    v2 = TokenCipher(keyring, write_format=Format.V2).encrypt(TOKEN, ref=ref).stored
    demanding = TokenCipher(keyring, write_format=Format.V2, least_format=Format.V2)
    assert demanding.decrypt(v2, ref=ref).reveal() == TOKEN
    before = kms.calls
    uses = (
        demanding.decrypt,
        demanding.reencrypt,
        lambda stored, ref: demanding.rewrap(stored, "alias/x", ref=ref),
    )
    for use in uses:
        with pytest.raises(errors.UnsupportedFormatError, match="v1 envelope where v2 is demanded"):
            use(v1, ref=ref)
    assert kms.calls == before


@pytest.mark.parametrize("setting", ["write_format", "least_format"])
@pytest.mark.parametrize("format_", [Format.DEV, Format.PLAINTEXT, Format.EMPTY])
def test_only_envelope_formats_can_be_written_or_demanded(kms: KmsApi, setting: str, format_: Format) -> None:
    with pytest.raises(errors.SettingsError, match=f"{setting} is none of v1, v2, v2-bound"):
        TokenCipher(KmsKeyring(kms, write_key="alias/x"), **{setting: format_})  # type: ignore[arg-type]


def test_encrypt_fails_when_what_it_sealed_does_not_open_to_the_token(
    kms: KmsApi, new_key: NewKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    cipher = TokenCipher(KmsKeyring(kms, write_key=new_key()))
    stored = cipher.encrypt(TOKEN).stored
    seal = cipher_module.seal
    monkeypatch.setattr(
        cipher_module, "seal", lambda _, *rest, **more: seal(Secret.of("a different token"), *rest, **more)
    )
    for use in (lambda: cipher.encrypt(TOKEN), lambda: cipher.reencrypt(stored)):
        with pytest.raises(errors.AuthenticationFailedError, match="does not hold the token"):
            use()


@pytest.mark.parametrize("length", [0, 16, 31])
def test_encrypt_fails_with_a_data_key_of_another_length(kms: KmsApi, new_key: NewKey, length: int) -> None:
    short = ChangedKeyring(
        KmsKeyring(kms, write_key=new_key()), generate=lambda g: replace(g, data_key=DataKey(bytes(length)))
    )
    with pytest.raises(errors.MalformedEnvelopeError, match="data key"):
        TokenCipher(short).encrypt(TOKEN)


def test_data_keys_and_tokens_are_wiped_when_their_work_is_done(
    kms: KmsApi, new_key: NewKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[DataKey | Secret] = []

    class NotedKey(DataKey):
        __slots__ = ()

        def __init__(self, content: bytes) -> None:
            super().__init__(content)
            made.append(self)

    monkeypatch.setattr("crypto_core.keyring.checked_answers.DataKey", NotedKey)
    old, new = new_key(), new_key()
    cipher = TokenCipher(KmsKeyring(kms, write_key=old, trusted=[new]))
    stored = cipher.encrypt(TOKEN).stored
    cipher.decrypt(stored)
    cipher.reencrypt(cipher.rewrap(stored, new).stored)
    damaged = parse(stored)
    with pytest.raises(errors.AuthenticationFailedError):
        cipher.decrypt(serialise(replace(damaged, ciphertext=bytes(40))))
    assert len(made) == 1 + 1 + 2 + 2 + 1
    for data_key in made:
        with pytest.raises(ValueError, match="is wiped"):
            exposed(data_key)

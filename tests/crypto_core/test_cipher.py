"""One token: encrypt, decrypt, rewrap and re-encrypt it, under the sandbox's KMS and under plain moto."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import boto3
import pytest
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from moto.server import ThreadedMotoServer

from crypto_core import cipher as cipher_module
from crypto_core.cipher import TokenCipher
from crypto_core.data_keys import GeneratedDataKey, KeyAnswer, RewrappedDataKey, UnwrappedDataKey
from crypto_core.envelope import DEV_KEY, Envelope, Format, parse, serialise
from crypto_core.errors import (
    AuthenticationFailedError,
    EnvelopeError,
    IncorrectKeyError,
    InvalidTokenError,
    KeyDisabledError,
    KmsAccessDeniedError,
    KmsError,
    MalformedEnvelopeError,
    SettingsError,
    UnsupportedFormatError,
)
from crypto_core.keyring import KmsKeyring
from crypto_core.kms import KmsApi
from crypto_core.references import TokenRef
from crypto_core.secret import DataKey, Secret, exposed

TOKEN = "github_pat_11ABCDEFG0abcdefghij_KLMNOPQRST"


def data_key_of(client: Any, envelope: Envelope) -> bytes:
    data_key: bytes = client.decrypt(CiphertextBlob=envelope.encrypted_data_key)["Plaintext"]
    return data_key


# Encrypt and decrypt


@pytest.mark.parametrize("token", [TOKEN, "x", "grüße 東京 🔑", "line\nbreak\0nul", "é" * 32_768])
def test_an_encrypted_token_decrypts_to_itself(kms: KmsApi, new_key: Callable[[], str], token: str) -> None:
    key = new_key()
    cipher = TokenCipher(KmsKeyring(kms, write_key=key))
    sealed = cipher.encrypt(token)
    assert cipher.decrypt(sealed.stored).reveal() == token
    assert (sealed.wrapped_by.key_arn, sealed.source) == (key, None)
    assert kms.calls == 2
    assert cipher.open(sealed.stored).wrapped_by == sealed.wrapped_by


def test_two_encryptions_share_neither_data_key_nor_nonce_nor_ciphertext(
    kms: KmsApi, client: Any, new_key: Callable[[], str]
) -> None:
    cipher = TokenCipher(KmsKeyring(kms, write_key=new_key()))
    first, second = (parse(cipher.encrypt(TOKEN).stored) for _ in range(2))
    assert first.nonce != second.nonce
    assert first.ciphertext != second.ciphertext
    assert data_key_of(client, first) != data_key_of(client, second)


def test_a_token_is_encrypted_under_the_key_that_is_named(kms: KmsApi, new_key: Callable[[], str]) -> None:
    written_under, named = new_key(), new_key()
    cipher = TokenCipher(KmsKeyring(kms, write_key=written_under))
    assert cipher.encrypt(TOKEN, named).wrapped_by.key_arn == named
    assert cipher.encrypt(Secret.of(TOKEN)).wrapped_by.key_arn == written_under


@pytest.mark.parametrize("token", [b"ghp_bytes", None, 7])
def test_what_is_no_text_is_refused_before_kms_is_asked(
    kms: KmsApi, new_key: Callable[[], str], token: Any
) -> None:
    with pytest.raises(InvalidTokenError):
        TokenCipher(KmsKeyring(kms, write_key=new_key())).encrypt(token)
    assert kms.calls == 0


@pytest.mark.parametrize("token", ["", "x" * 65_537])
def test_an_empty_or_oversize_token_is_refused(kms: KmsApi, new_key: Callable[[], str], token: str) -> None:
    with pytest.raises(InvalidTokenError):
        TokenCipher(KmsKeyring(kms, write_key=new_key())).encrypt(token)


@pytest.mark.parametrize("stored", ["", "ghp_plaintext", "djF8!", "djJ8abcd", "hunter2"])
def test_what_is_no_envelope_is_refused_before_kms_is_asked(
    kms: KmsApi, new_key: Callable[[], str], stored: str
) -> None:
    cipher = TokenCipher(KmsKeyring(kms, write_key=new_key()))
    for use in (cipher.decrypt, cipher.open, lambda s: cipher.rewrap(s, new_key()), cipher.reencrypt):
        with pytest.raises(EnvelopeError):
            use(stored)
    assert kms.calls == 0


def test_a_token_under_an_untrusted_key_is_not_opened(kms: KmsApi, new_key: Callable[[], str]) -> None:
    theirs = TokenCipher(KmsKeyring(kms, write_key=new_key())).encrypt(TOKEN)
    with pytest.raises(IncorrectKeyError):
        TokenCipher(KmsKeyring(kms, write_key=new_key())).decrypt(theirs.stored)


def test_the_likely_key_saves_a_call(kms: KmsApi, new_key: Callable[[], str]) -> None:
    first, second = new_key(), new_key()
    stored = TokenCipher(KmsKeyring(kms, write_key=second)).encrypt(TOKEN).stored
    before = kms.calls
    cipher = TokenCipher(KmsKeyring(kms, write_key=first, trusted=[second]))
    assert cipher.decrypt(stored, likely=second).reveal() == TOKEN
    assert kms.calls == before + 1


# Rewrap


def test_a_reader_that_demands_v2_opens_no_v1(kms: KmsApi, new_key: Callable[[], str]) -> None:
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
        with pytest.raises(UnsupportedFormatError, match="v1 envelope where v2 is demanded"):
            use(v1, ref=ref)
    assert kms.calls == before


@pytest.mark.parametrize("setting", ["write_format", "least_format"])
@pytest.mark.parametrize("format_", [Format.DEV, Format.PLAINTEXT, Format.EMPTY])
def test_only_envelope_formats_can_be_written_or_demanded(kms: KmsApi, setting: str, format_: Format) -> None:
    with pytest.raises(SettingsError, match="no format of envelopes"):
        TokenCipher(KmsKeyring(kms, write_key="alias/x"), **{setting: format_})  # type: ignore[arg-type]


def test_rewrap_changes_the_encrypted_data_key_and_nothing_else(
    kms: KmsApi, client: Any, new_key: Callable[[], str]
) -> None:
    old, new = new_key(), new_key()
    cipher = TokenCipher(KmsKeyring(kms, write_key=old, trusted=[new]))
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
    kms: KmsApi, client: Any, new_key: Callable[[], str]
) -> None:
    old, new = new_key(), new_key()
    old_only, new_only = (TokenCipher(KmsKeyring(kms, write_key=key)) for key in (old, new))
    sealed = old_only.encrypt(TOKEN)
    moved = old_only.rewrap(sealed.stored, new)
    client.disable_key(KeyId=old)
    assert new_only.decrypt(moved.stored).reveal() == TOKEN
    with pytest.raises(KeyDisabledError):
        old_only.decrypt(sealed.stored)
    with pytest.raises(IncorrectKeyError):
        old_only.decrypt(moved.stored)


def test_rewrap_under_the_same_key_wraps_anew(kms: KmsApi, new_key: Callable[[], str]) -> None:
    key = new_key()
    cipher = TokenCipher(KmsKeyring(kms, write_key=key))
    sealed = cipher.encrypt(TOKEN)
    moved = cipher.rewrap(sealed.stored, key)
    assert moved.stored != sealed.stored
    assert cipher.decrypt(moved.stored).reveal() == TOKEN


def test_a_damaged_token_is_not_rewrapped(kms: KmsApi, client: Any, new_key: Callable[[], str]) -> None:
    key, new = new_key(), new_key()
    cipher = TokenCipher(KmsKeyring(kms, write_key=key))
    envelope = parse(cipher.encrypt(TOKEN).stored)
    damaged = serialise(replace(envelope, ciphertext=bytes(len(envelope.ciphertext))))
    before = kms.calls
    with pytest.raises(AuthenticationFailedError):
        cipher.rewrap(damaged, new)
    assert kms.calls == before + 1


class ChangedKeyring:
    """A keyring that goes wrong in one place."""

    def __init__(self, keyring: KmsKeyring, **wrong: Callable[..., Any]) -> None:
        self._keyring = keyring
        self._wrong = wrong

    def generate(self, key: str | None = None, **more: Any) -> GeneratedDataKey:
        generated = self._keyring.generate(key, **more)
        return self._wrong.get("generate", lambda g: g)(generated)  # type: ignore[no-any-return]

    def unwrap(self, encrypted_data_key: bytes, likely: str | None = None, **more: Any) -> UnwrappedDataKey:
        return self._keyring.unwrap(encrypted_data_key, likely, **more)

    def rewrap(
        self, encrypted_data_key: bytes, destination: str, likely: str | None = None, **more: Any
    ) -> RewrappedDataKey:
        rewrapped = self._keyring.rewrap(encrypted_data_key, destination, likely, **more)
        return self._wrong["rewrap"](encrypted_data_key, rewrapped)  # type: ignore[no-any-return]


def test_rewrap_fails_when_the_new_encrypted_data_key_holds_another_data_key(
    kms: KmsApi, new_key: Callable[[], str]
) -> None:
    old, new = new_key(), new_key()
    keyring = KmsKeyring(kms, write_key=old, trusted=[new])
    another = keyring.generate(new).encrypted_data_key
    changed = ChangedKeyring(keyring, rewrap=lambda _, done: replace(done, encrypted_data_key=another))
    stored = TokenCipher(keyring).encrypt(TOKEN).stored
    with pytest.raises(AuthenticationFailedError):
        TokenCipher(changed).rewrap(stored, new)


@pytest.mark.parametrize("trusted", [True, False])
def test_rewrap_fails_when_the_data_key_stays_under_the_old_key(
    kms: KmsApi, new_key: Callable[[], str], trusted: bool
) -> None:
    """The old encrypted data key opens the token as well; that must not pass for success."""
    old, new = new_key(), new_key()
    keyring = KmsKeyring(kms, write_key=old, trusted=[new] if trusted else [])
    changed = ChangedKeyring(keyring, rewrap=lambda given, done: replace(done, encrypted_data_key=given))
    stored = TokenCipher(keyring).encrypt(TOKEN).stored
    with pytest.raises(IncorrectKeyError):
        TokenCipher(changed).rewrap(stored, new)


def test_rewrap_fails_when_the_new_encrypted_data_key_is_damaged(
    kms: KmsApi, new_key: Callable[[], str]
) -> None:
    old, new = new_key(), new_key()
    keyring = KmsKeyring(kms, write_key=old, trusted=[new])
    stored = TokenCipher(keyring).encrypt(TOKEN).stored
    for blob, kind in (
        (b"", MalformedEnvelopeError),
        (bytes(184), KmsError),
        (bytes(6145), MalformedEnvelopeError),
    ):
        changed = ChangedKeyring(keyring, rewrap=lambda _, done, b=blob: replace(done, encrypted_data_key=b))
        with pytest.raises(kind):
            TokenCipher(changed).rewrap(stored, new)


def test_rewrap_fails_when_what_opens_is_not_the_token(
    kms: KmsApi, new_key: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = new_key(), new_key()
    cipher = TokenCipher(KmsKeyring(kms, write_key=old, trusted=[new]))
    stored = cipher.encrypt(TOKEN).stored
    opened = iter([Secret.of(TOKEN), Secret.of("another token")])
    monkeypatch.setattr(cipher_module, "open_envelope", lambda *_: next(opened))
    with pytest.raises(AuthenticationFailedError, match="does not hold the token") as caught:
        cipher.rewrap(stored, new)
    assert TOKEN not in repr(caught.value)


def test_rewrap_to_a_key_that_may_not_be_used_changes_nothing(
    kms: KmsApi, client: Any, new_key: Callable[[], str]
) -> None:
    old, new = new_key(), new_key()
    cipher = TokenCipher(KmsKeyring(kms, write_key=old))
    stored = cipher.encrypt(TOKEN).stored
    client.disable_key(KeyId=new)
    with pytest.raises(KeyDisabledError, match=new):
        cipher.rewrap(stored, new)
    assert cipher.decrypt(stored).reveal() == TOKEN


# Re-encrypt


def test_reencrypt_changes_data_key_nonce_and_ciphertext(
    kms: KmsApi, client: Any, new_key: Callable[[], str]
) -> None:
    old, new = new_key(), new_key()
    cipher = TokenCipher(KmsKeyring(kms, write_key=old, trusted=[new]))
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


def test_reencrypt_without_a_key_writes_under_the_configured_one(
    kms: KmsApi, new_key: Callable[[], str]
) -> None:
    old, new = new_key(), new_key()
    stored = TokenCipher(KmsKeyring(kms, write_key=old)).encrypt(TOKEN).stored
    renewed = TokenCipher(KmsKeyring(kms, write_key=new, trusted=[old])).reencrypt(stored)
    assert (renewed.wrapped_by.key_arn, renewed.source and renewed.source.key_arn) == (new, old)


def test_encrypt_fails_when_what_it_sealed_does_not_open_to_the_token(
    kms: KmsApi, new_key: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cipher = TokenCipher(KmsKeyring(kms, write_key=new_key()))
    stored = cipher.encrypt(TOKEN).stored
    seal = cipher_module.seal
    monkeypatch.setattr(
        cipher_module, "seal", lambda _, *rest, **more: seal(Secret.of("another token"), *rest, **more)
    )
    for use in (lambda: cipher.encrypt(TOKEN), lambda: cipher.reencrypt(stored)):
        with pytest.raises(AuthenticationFailedError, match="does not hold the token"):
            use()


@pytest.mark.parametrize("length", [0, 16, 31])
def test_encrypt_fails_with_a_data_key_of_another_length(
    kms: KmsApi, new_key: Callable[[], str], length: int
) -> None:
    short = ChangedKeyring(
        KmsKeyring(kms, write_key=new_key()), generate=lambda g: replace(g, data_key=DataKey(bytes(length)))
    )
    with pytest.raises(MalformedEnvelopeError, match="data key"):
        TokenCipher(short).encrypt(TOKEN)


def test_data_keys_and_tokens_are_wiped_when_their_work_is_done(
    kms: KmsApi, new_key: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[DataKey | Secret] = []

    class NotedKey(DataKey):
        __slots__ = ()

        def __init__(self, content: bytes) -> None:
            super().__init__(content)
            made.append(self)

    monkeypatch.setattr("crypto_core.kms_answers.DataKey", NotedKey)
    old, new = new_key(), new_key()
    cipher = TokenCipher(KmsKeyring(kms, write_key=old, trusted=[new]))
    stored = cipher.encrypt(TOKEN).stored
    cipher.decrypt(stored)
    cipher.reencrypt(cipher.rewrap(stored, new).stored)
    damaged = parse(stored)
    with pytest.raises(AuthenticationFailedError):
        cipher.decrypt(serialise(replace(damaged, ciphertext=bytes(40))))
    assert len(made) == 1 + 1 + 2 + 2 + 1
    for data_key in made:
        with pytest.raises(ValueError, match="is wiped"):
            exposed(data_key)


# The platform's development format


def dev_value(token: str, key: str = DEV_KEY) -> str:
    return base64.b64encode(b"dev|" + Fernet(key).encrypt(token.encode())).decode()


def test_a_dev_value_becomes_an_envelope(kms: KmsApi, new_key: Callable[[], str]) -> None:
    key, other = new_key(), Fernet.generate_key().decode()
    cipher = TokenCipher(KmsKeyring(kms, write_key=key))
    for stored, dev_key in ((dev_value(TOKEN), DEV_KEY), (dev_value(TOKEN, other), other)):
        sealed = cipher.encrypt_dev(stored, dev_key)
        assert cipher.decrypt(sealed.stored).reveal() == TOKEN
        assert sealed.wrapped_by.key_arn == key
    assert kms.calls == 4


def test_a_dev_value_that_does_not_open_asks_nothing_of_kms(kms: KmsApi, new_key: Callable[[], str]) -> None:
    cipher = TokenCipher(KmsKeyring(kms, write_key=new_key()))
    with pytest.raises(AuthenticationFailedError):
        cipher.encrypt_dev(dev_value(TOKEN, Fernet.generate_key().decode()), DEV_KEY)
    with pytest.raises(UnsupportedFormatError):
        cipher.encrypt_dev(TOKEN, DEV_KEY)
    assert kms.calls == 0


def test_an_empty_dev_value_is_nothing_to_protect(kms: KmsApi, new_key: Callable[[], str]) -> None:
    with pytest.raises(InvalidTokenError):
        TokenCipher(KmsKeyring(kms, write_key=new_key())).encrypt_dev(dev_value(""), DEV_KEY)


# Plain moto, as a platform's own tests run it: it denies a wrong KeyId, ignores SourceKeyId, and knows no
# key material.


@pytest.fixture(scope="module")
def moto_url() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def moto_kms(moto_url: str, monkeypatch: pytest.MonkeyPatch) -> KmsApi:
    for name in [n for n in os.environ if n.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    return KmsApi(["eu-west-1"], endpoint_url=moto_url, attempts=1)


@pytest.fixture
def moto_key(moto_kms: KmsApi) -> Callable[[], str]:
    return lambda: str(moto_kms.call("CreateKey")["KeyMetadata"]["Arn"])


@pytest.fixture(params=["key ARN", "key id", "alias", "alias ARN"])
def moto_name(request: pytest.FixtureRequest, moto_kms: KmsApi) -> Iterator[Callable[[str], str]]:
    """Name a key in one of the forms that KMS accepts."""

    def name(key: str) -> str:
        key_id = key.rpartition("/")[2]
        alias = f"alias/tokens-{key_id}"
        if "alias" in request.param:
            moto_kms.call("CreateAlias", AliasName=alias, TargetKeyId=key_id)
        full = key.replace(f"key/{key_id}", alias)
        return {"key ARN": key, "key id": key_id, "alias": alias, "alias ARN": full}[request.param]

    return name


@pytest.mark.parametrize("keys", ["one trusted key", "two trusted keys"])
def test_under_moto_tokens_are_encrypted_decrypted_rewrapped_and_reencrypted(
    moto_kms: KmsApi, moto_key: Callable[[], str], moto_name: Callable[[str], str], keys: str
) -> None:
    old, new = moto_key(), moto_key()
    trusted = [new] if keys == "two trusted keys" else []
    cipher = TokenCipher(KmsKeyring(moto_kms, write_key=moto_name(old), trusted=trusted))
    new_only = TokenCipher(KmsKeyring(moto_kms, write_key=new))

    sealed = cipher.encrypt(TOKEN)
    assert sealed.wrapped_by == KeyAnswer(old, None)
    assert cipher.decrypt(sealed.stored).reveal() == TOKEN

    moved = cipher.rewrap(sealed.stored, new)
    before, after = parse(sealed.stored), parse(moved.stored)
    assert (after.nonce, after.ciphertext) == (before.nonce, before.ciphertext)
    assert (moved.source, moved.wrapped_by) == (KeyAnswer(old, None), KeyAnswer(new, None))

    renewed = cipher.reencrypt(sealed.stored, new)
    assert (renewed.source, renewed.wrapped_by) == (KeyAnswer(old, None), KeyAnswer(new, None))
    assert parse(renewed.stored).ciphertext != before.ciphertext

    for stored in (moved.stored, renewed.stored):
        assert new_only.decrypt(stored).reveal() == TOKEN
        if keys == "two trusted keys":
            assert cipher.open(stored).wrapped_by.key_arn == new
            assert cipher.rewrap(stored, old).source == KeyAnswer(new, None)


def test_under_moto_an_untrusted_key_opens_nothing(moto_kms: KmsApi, moto_key: Callable[[], str]) -> None:
    theirs = TokenCipher(KmsKeyring(moto_kms, write_key=moto_key())).encrypt(TOKEN)
    cipher = TokenCipher(KmsKeyring(moto_kms, write_key=moto_key(), trusted=[moto_key()]))
    for use in (cipher.decrypt, cipher.reencrypt, lambda stored: cipher.rewrap(stored, moto_key())):
        with pytest.raises(KmsAccessDeniedError):
            use(theirs.stored)


def test_under_moto_a_rewrap_from_a_key_that_moto_did_not_check_is_found_out(
    moto_kms: KmsApi, moto_key: Callable[[], str]
) -> None:
    theirs = TokenCipher(KmsKeyring(moto_kms, write_key=moto_key())).encrypt(TOKEN)
    trusted = moto_key()
    with pytest.raises(KmsError, match=trusted):
        KmsKeyring(moto_kms, write_key=trusted).rewrap(parse(theirs.stored).encrypted_data_key, trusted)


def test_under_moto_a_ten_line_script_reads_what_the_cipher_writes(
    moto_kms: KmsApi, moto_url: str, moto_key: Callable[[], str]
) -> None:
    stored = TokenCipher(KmsKeyring(moto_kms, write_key=moto_key())).encrypt(TOKEN).stored
    _, edk, nonce, ciphertext = base64.b64decode(stored).split(b"|")
    client = boto3.client("kms", region_name="eu-west-1", endpoint_url=moto_url)
    data_key = client.decrypt(CiphertextBlob=base64.b64decode(edk))["Plaintext"]
    opened = AESGCM(data_key).decrypt(base64.b64decode(nonce), base64.b64decode(ciphertext), None)
    assert opened.decode() == TOKEN


def test_under_moto_attribution_tells_the_key_and_no_material(
    moto_kms: KmsApi, moto_key: Callable[[], str]
) -> None:
    key = moto_key()
    keyring = KmsKeyring(moto_kms, write_key=key)
    assert keyring.attribute(keyring.generate().encrypted_data_key) == KeyAnswer(key, None)

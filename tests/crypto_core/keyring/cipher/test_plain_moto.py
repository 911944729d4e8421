"""Cipher: tokens under plain moto, as a platform's own tests run it."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Iterator

import boto3
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from crypto_core.aws.kms import KmsApi
from crypto_core.envelope import parse
from crypto_core.keyring.cipher import TokenCipher
from crypto_core.keyring.data_keys import KeyAnswer
from crypto_core.keyring.kms_keyring import KmsKeyring
from crypto_core.values.errors import KmsAccessDeniedError, KmsError
from tests.crypto_core.keyring.cipher.scene import TOKEN
from tests.plain_moto import plain_moto

# Plain moto, as a platform's own tests run it: it denies a wrong KeyId, ignores SourceKeyId, and knows no
# key material.


@pytest.fixture(scope="module")
def moto_url() -> Iterator[str]:
    with plain_moto() as url:
        yield url


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


@pytest.mark.quick(2)
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

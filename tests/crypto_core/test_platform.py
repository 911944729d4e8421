"""The module that takes the place of the platform's own: its names, its formats, its settings."""

from __future__ import annotations

import base64
import json
import os
import traceback
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from unittest.mock import Mock, patch

import boto3
import pytest
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from console.sandbox.sandbox import Sandbox
from crypto_core import platform
from crypto_core.envelope import DEV_KEY, Format, classify
from crypto_core.platform import (
    AuditEncryptionError,
    TokenEncryptionError,
    decrypt_audit_payload,
    decrypt_token,
    encrypt_audit_payload,
    encrypt_token,
    environment,
)
from crypto_core.values.errors import IncorrectKeyError, UnsupportedFormatError

TOKEN = "github_pat_11PLATFORM0abcdefghij"
PLACE = "gh_connection.access_token:gh-42"
SETTINGS = ("AWS_", "KEYDECK_", "TOKEN_ENCRYPTION", "APP_ENV", "DEV_ENCRYPTION", "AUDIT_ENCRYPTION")
NewKey = Callable[[], str]


@pytest.fixture(autouse=True)
def key(sandbox: Sandbox, new_key: NewKey, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The platform in production, with a key of its own."""
    for name in [n for n in os.environ if n.startswith(SETTINGS)]:
        monkeypatch.delenv(name)
    for name, value in sandbox.settings().items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    arn = new_key()
    monkeypatch.setenv("TOKEN_ENCRYPTION_KEY_ID", arn)
    monkeypatch.setenv("APP_ENV", "production")
    yield arn
    environment._cipher.cache_clear()


def opened_as_published(stored: str) -> str:
    """What the published module does in production: boto3 without a KeyId, and AES-GCM."""
    _, *parts = base64.b64decode(stored).split(b"|")
    encrypted_data_key, nonce, ciphertext = map(base64.b64decode, parts)
    data_key = boto3.client("kms").decrypt(CiphertextBlob=encrypted_data_key)["Plaintext"]
    return AESGCM(data_key).decrypt(nonce, ciphertext, None).decode()


def test_what_the_one_writes_the_other_opens() -> None:
    stored = encrypt_token(TOKEN)
    assert opened_as_published(stored) == decrypt_token(stored) == TOKEN


@pytest.mark.parametrize(
    "kind", [str, str.encode, lambda v: bytearray(v.encode()), lambda v: memoryview(v.encode())]
)
@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_stored_value_may_be_text_or_bytes_and_end_with_a_line(
    kind: Callable[[str], bytes], end: str
) -> None:
    assert decrypt_token(kind(encrypt_token(TOKEN.encode()) + end)) == TOKEN


def test_after_the_key_moved_old_tokens_open_once_it_is_trusted_and_the_error_names_keys_and_setting(
    key: str, new_key: NewKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, asked, more = encrypt_token(TOKEN), new_key(), new_key()
    monkeypatch.setenv("TOKEN_ENCRYPTION_KEY_ID", asked)
    monkeypatch.setenv("KEYDECK_TRUSTED_KEYS", more)
    with pytest.raises(
        TokenEncryptionError, match=f"Trusted: {asked}, {more}.*to KEYDECK_TRUSTED_KEYS"
    ) as failed:
        decrypt_token(old)
    assert isinstance(failed.value.__cause__, IncorrectKeyError)
    monkeypatch.setenv("KEYDECK_TRUSTED_KEYS", key)
    assert decrypt_token(old) == decrypt_token(encrypt_token(TOKEN)) == TOKEN


def _wrapped(stored: str) -> str:
    return "\r\n".join(stored[i : i + 64] for i in range(0, len(stored), 64))


def _with_word(stored: str) -> str:
    return base64.b64encode(b"v9|" + base64.b64decode(stored).partition(b"|")[2]).decode()


@pytest.mark.parametrize("name", ["production", "dev"])
@pytest.mark.parametrize(
    "respelt",
    [_wrapped, _with_word, lambda v: f'\t "{v}" ', lambda v: v + "==", lambda v: v[:2] + "*" + v[2:]],
    ids=["wrapped", "another word", "spaces and quotes", "padding", "foreign character"],
)
def test_what_the_published_module_opens_opens_here_however_it_is_spelt(
    name: str, respelt: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = encrypt_token(TOKEN)
    monkeypatch.setenv("APP_ENV", name)
    assert decrypt_token(respelt(stored)) == decrypt_token(respelt(stored).encode()) == TOKEN
    if name == "dev" and respelt is not _with_word:
        assert decrypt_token(respelt(encrypt_token(TOKEN))) == TOKEN


@pytest.mark.parametrize("patched", ["boto3", "boto3.client"])
def test_a_test_that_patches_boto3_here_answers_for_kms_until_it_ends(
    patched: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kms = Mock()
    kms.generate_data_key.return_value = {"Plaintext": b"k" * 32, "CiphertextBlob": b"wrapped"}
    kms.decrypt.return_value = {"Plaintext": b"k" * 32}
    with patch(f"crypto_core.platform.{patched}") as put:
        made = put if patched == "boto3.client" else put.client
        made.return_value = kms
        with monkeypatch.context() as setting:
            setting.setenv("TOKEN_ENCRYPTION_KEY_ID", "any name")
            stored = encrypt_token(TOKEN)
        kms.generate_data_key.assert_called_once_with(KeyId="any name", KeySpec="AES_256")
        assert decrypt_token(stored) == TOKEN
        kms.decrypt.assert_called_once_with(CiphertextBlob=b"wrapped")
        kms.decrypt.side_effect = ValueError("no network")
        with pytest.raises(TokenEncryptionError):
            decrypt_token(stored)
        made.assert_called_with("kms")
    with pytest.raises(TokenEncryptionError):
        decrypt_token(stored)
    assert opened_as_published(encrypt_token(TOKEN)) == TOKEN


@pytest.mark.parametrize("name", ["dev", "Development", "local"])
def test_in_development_values_are_in_dev_format_and_envelopes_open_too(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealed = encrypt_token(TOKEN)
    monkeypatch.setenv("APP_ENV", name)
    stored = encrypt_token(TOKEN)
    assert classify(stored).format is Format.DEV
    assert Fernet(DEV_KEY).decrypt(base64.b64decode(stored).removeprefix(b"dev|")).decode() == TOKEN
    assert decrypt_token(stored.encode() + b"\n") == decrypt_token(sealed) == TOKEN
    monkeypatch.setenv("DEV_ENCRYPTION_KEY", Fernet.generate_key().decode())
    assert decrypt_token(encrypt_token(TOKEN)) == TOKEN
    with pytest.raises(TokenEncryptionError, match="DEV_ENCRYPTION_KEY"):
        decrypt_token(stored)


@pytest.mark.parametrize("name", [None, "", "production", "staging"])
def test_nothing_but_a_word_for_development_makes_or_opens_dev_values(
    name: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APP_ENV", "dev")
    stored = encrypt_token(TOKEN)
    monkeypatch.delenv("APP_ENV")
    if name is not None:
        monkeypatch.setenv("APP_ENV", name)
    assert classify(encrypt_token(TOKEN)).format is Format.V1
    with pytest.raises(TokenEncryptionError, match="dev format"):
        decrypt_token(stored)
    monkeypatch.delenv("TOKEN_ENCRYPTION_KEY_ID")
    with pytest.raises(TokenEncryptionError, match=r"TOKEN_ENCRYPTION_KEY_ID is not set.*APP_ENV=dev"):
        encrypt_token(TOKEN)


@pytest.mark.parametrize(
    "stored", ["", "not base64!", TOKEN, b"\xff\xfe" + TOKEN.encode(), 7, None, "djF8AAAA", "djF8" * 10]
)
def test_what_is_no_envelope_is_told_without_what_it_is(stored: object) -> None:
    with pytest.raises(TokenEncryptionError) as failed:
        decrypt_token(stored)  # type: ignore[arg-type]
    told = "".join(traceback.format_exception(failed.value))
    assert TOKEN not in told
    assert "djF8AAAA" not in str(failed.value)


def test_every_failure_is_the_one_error_and_its_cause_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEYDECK_LEAST_FORMAT", "v2")
    monkeypatch.setenv("KEYDECK_WRITE_FORMAT", "v2")
    stored = encrypt_token(TOKEN, PLACE)
    assert decrypt_token(stored, PLACE) == TOKEN
    for wrong in ("gh_connection.access_token:gh-43", None, "no place"):
        with pytest.raises(TokenEncryptionError):
            decrypt_token(stored, wrong)
    monkeypatch.setenv("KEYDECK_WRITE_FORMAT", "v1")
    monkeypatch.setenv("KEYDECK_LEAST_FORMAT", "v1")
    old = encrypt_token(TOKEN)
    with pytest.raises(TokenEncryptionError) as failed:
        decrypt_token(old, PLACE, least_format="v2")
    assert isinstance(failed.value.__cause__, UnsupportedFormatError)


def test_v2_is_adopted_in_three_deployments_of_which_two_always_run_beside_each_other(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployments: list[dict[str, str]] = [
        {},  # the readers pass the place
        {"KEYDECK_WRITE_FORMAT": "v2"},
        {"KEYDECK_WRITE_FORMAT": "v2", "KEYDECK_LEAST_FORMAT": "v2"},
    ]
    column = [encrypt_token(TOKEN)]
    opened_as_published(column[0])

    def run(deployment: dict[str, str]) -> None:
        for name in ("KEYDECK_WRITE_FORMAT", "KEYDECK_LEAST_FORMAT"):
            monkeypatch.delenv(name, raising=False)
        for name, value in deployment.items():
            monkeypatch.setenv(name, value)

    # The first rolls out beside the published module, which opens all that it writes.
    run(deployments[0])
    column.append(encrypt_token(TOKEN, PLACE))
    assert [opened_as_published(stored) for stored in column] == [TOKEN] * 2
    for before, after in pairwise(deployments):
        if "KEYDECK_LEAST_FORMAT" in after:
            # What `keydeck reencrypt --all` does, before v1 is refused.
            run(before)
            column = [encrypt_token(decrypt_token(stored, PLACE), PLACE) for stored in column]
        for writer, reader in ((before, after), (after, before)):
            run(writer)
            column.append(encrypt_token(TOKEN, PLACE))
            run(reader)
            assert [decrypt_token(stored, PLACE) for stored in column] == [TOKEN] * len(column)
    run(deployments[-1])
    assert {classify(encrypt_token(TOKEN, PLACE)).format, *(classify(s).format for s in column)} == {
        Format.V2
    }
    with pytest.raises(TokenEncryptionError):
        decrypt_token(column[0], "gh_connection.access_token:gh-43")


def test_audit_payloads_come_back_and_are_refused_under_another_key(monkeypatch: pytest.MonkeyPatch) -> None:
    payload = {"who": "Größe", "what": [1, {"deep": None}]}
    with pytest.raises(AuditEncryptionError, match="AUDIT_ENCRYPTION_KEY is not set"):
        encrypt_audit_payload(payload)
    key = Fernet.generate_key()
    monkeypatch.setenv("AUDIT_ENCRYPTION_KEY", key.decode())
    monkeypatch.setenv("AUDIT_ENCRYPTION_KEY_ID", "audit-1")
    wrapped = encrypt_audit_payload(payload)
    assert (set(wrapped), wrapped["key_id"]) == ({"encrypted", "ciphertext", "key_id"}, "audit-1")
    assert json.loads(Fernet(key).decrypt(wrapped["ciphertext"])) == payload == decrypt_audit_payload(wrapped)
    assert decrypt_audit_payload(payload) == payload
    for other in (Fernet.generate_key().decode(), "no key"):
        monkeypatch.setenv("AUDIT_ENCRYPTION_KEY", other)
        with pytest.raises(AuditEncryptionError) as failed:
            decrypt_audit_payload(wrapped)
        assert other not in "".join(traceback.format_exception(failed.value))
    with pytest.raises(AuditEncryptionError, match="no ciphertext"):
        decrypt_audit_payload({"encrypted": True})
    with pytest.raises(AuditEncryptionError, match="not JSON"):
        encrypt_audit_payload({"it": object()})


def test_it_has_the_names_of_the_published_module_and_no_others() -> None:
    assert set(platform.__all__) == {
        *("AuditEncryptionError", "TokenEncryptionError", "decrypt_audit_payload", "decrypt_token"),
        *("encrypt_audit_payload", "encrypt_token"),
    }
    assert "from crypto_core.platform import" in Path("console/manual/pages/platform.md").read_text(
        encoding="utf-8"
    )

"""The contract between Keydeck and the platform, test by test.

    pytest tests/test_crypto.py -v

`encrypt_token` and `decrypt_token` keep the stored format that the platform writes today. Everything runs
against KMS over HTTP: the sandbox's endpoint.
"""

from __future__ import annotations

import base64
import os
import traceback
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import boto3
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from console.sandbox.endpoint import Denial, Fault
from console.sandbox.sandbox import Sandbox
from crypto_core import EnvelopeError, KeydeckError, KmsError, SettingsError, decrypt_token, encrypt_token
from crypto_core.values import errors

TOKEN = "github_pat_11ABCDEFG0abcdefghij_KLMNOPQRST"
FIELDS = ["version", "encrypted data key", "nonce", "ciphertext"]


@pytest.fixture(autouse=True)
def platform_settings(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The environment of the platform: boto3's own settings, and no key yet."""
    for name in [n for n in os.environ if n.startswith(("AWS_", "KEYDECK_", "TOKEN_ENCRYPTION"))]:
        monkeypatch.delenv(name)
    for name, value in sandbox.settings().items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    sandbox.control.clear()
    yield
    sandbox.control.clear()


@pytest.fixture
def key(new_key: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> str:
    arn = new_key()
    monkeypatch.setenv("TOKEN_ENCRYPTION_KEY_ID", arn)
    return arn


@pytest.fixture(scope="session")
def kms(sandbox: Sandbox) -> Any:
    return sandbox.client("kms")


# What the platform runs today, without Keydeck: base64, AES-GCM and boto3.


def platform_encrypts(token: str, key: str) -> str:
    made = boto3.client("kms").generate_data_key(KeyId=key, KeySpec="AES_256")
    nonce = os.urandom(12)
    ciphertext = AESGCM(made["Plaintext"]).encrypt(nonce, token.encode(), None)
    parts = [b"v1", *map(base64.b64encode, (made["CiphertextBlob"], nonce, ciphertext))]
    return base64.b64encode(b"|".join(parts)).decode()


def platform_decrypts(stored: str) -> str:
    version, *parts = base64.b64decode(stored).split(b"|")
    assert version == b"v1"
    encrypted_data_key, nonce, ciphertext = map(base64.b64decode, parts)
    data_key = boto3.client("kms").decrypt(CiphertextBlob=encrypted_data_key)["Plaintext"]
    return AESGCM(data_key).decrypt(nonce, ciphertext, None).decode()


# The round trip


def test_an_encrypted_token_decrypts_to_itself(key: str) -> None:
    stored = encrypt_token(TOKEN)
    assert TOKEN not in stored
    assert decrypt_token(stored) == TOKEN


def test_the_platforms_own_code_opens_what_keydeck_writes(key: str) -> None:
    assert platform_decrypts(encrypt_token(TOKEN)) == TOKEN


def test_keydeck_opens_what_the_platforms_own_code_writes(key: str) -> None:
    assert decrypt_token(platform_encrypts(TOKEN, key)) == TOKEN


def test_the_stored_form_is_base64_of_version_and_three_base64_fields(key: str, kms: Any) -> None:
    stored = encrypt_token(TOKEN)
    assert stored.startswith("djF8")
    version, edk, nonce, ciphertext = base64.b64decode(stored, validate=True).split(b"|")
    assert version == b"v1"
    assert len(base64.b64decode(nonce, validate=True)) == 12
    assert len(base64.b64decode(ciphertext, validate=True)) == len(TOKEN) + 16
    answer = kms.decrypt(CiphertextBlob=base64.b64decode(edk, validate=True))
    assert (answer["KeyId"], len(answer["Plaintext"])) == (key, 32)


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "ghp_" + "a" * 36,
        "grüße-日本語-🔑",
        "e\u0301 is not \u00e9",
        " spaces and\nlines\t",
        "|v1|",
        "a" * 65_536,
    ],
    ids=["one character", "ASCII", "Unicode", "not normalised", "white space", "separators", "64 KiB"],
)
def test_any_text_comes_back_character_for_character(key: str, token: str) -> None:
    stored = encrypt_token(token)
    assert decrypt_token(stored) == platform_decrypts(stored) == token


def test_every_encryption_of_one_token_is_different(key: str, kms: Any) -> None:
    fields = [base64.b64decode(encrypt_token(TOKEN)).split(b"|") for _ in range(10)]
    for place in (1, 2, 3):
        assert len({parts[place] for parts in fields}) == 10
    data_keys = {kms.decrypt(CiphertextBlob=base64.b64decode(parts[1]))["Plaintext"] for parts in fields}
    assert len(data_keys) == 10


@pytest.mark.parametrize(
    "token", ["", "x" * 65_537, "half a pair: \ud800"], ids=["empty", "too long", "no UTF-8"]
)
def test_what_can_not_be_a_token_is_refused(key: str, token: str) -> None:
    with pytest.raises(errors.InvalidTokenError):
        encrypt_token(token)


# Settings


def test_without_a_key_nothing_is_encrypted_and_the_setting_is_named() -> None:
    with pytest.raises(SettingsError, match="TOKEN_ENCRYPTION_KEY_ID"):
        encrypt_token(TOKEN)


def test_without_a_key_nothing_is_decrypted_and_the_settings_are_named(key: str, monkeypatch: Any) -> None:
    stored = encrypt_token(TOKEN)
    monkeypatch.delenv("TOKEN_ENCRYPTION_KEY_ID")
    with pytest.raises(SettingsError, match="TOKEN_ENCRYPTION_KEY_ID or KEYDECK_TRUSTED_KEYS"):
        decrypt_token(stored)


@pytest.mark.parametrize("name", ["TOKEN_ENCRYPTION_KEY_ID", "KEYDECK_TRUSTED_KEYS"])
def test_a_setting_that_is_no_kms_key_is_named(key: str, monkeypatch: Any, name: str) -> None:
    monkeypatch.setenv(name, "not-a-key")
    with pytest.raises(SettingsError, match="not-a-key"):
        encrypt_token(TOKEN)


def test_without_a_region_the_setting_is_named(key: str, monkeypatch: Any) -> None:
    monkeypatch.setenv("TOKEN_ENCRYPTION_KEY_ID", key.rpartition("/")[2])
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with pytest.raises(SettingsError, match="AWS_REGION or KEYDECK_REGIONS"):
        encrypt_token(TOKEN)


def test_the_settings_are_read_at_every_call(
    key: str, new_key: Callable[[], str], kms: Any, monkeypatch: Any
) -> None:
    other = new_key()
    monkeypatch.setenv("TOKEN_ENCRYPTION_KEY_ID", other)
    edk = base64.b64decode(base64.b64decode(encrypt_token(TOKEN)).split(b"|")[1])
    assert kms.decrypt(CiphertextBlob=edk)["KeyId"] == other


# Malformed values


@pytest.mark.parametrize("field", FIELDS[1:])
@pytest.mark.parametrize(
    "broken",
    [b"", b"!!!!", b"QQ", b"QUJD-_8="],
    ids=["empty", "alphabet", "padding", "urlsafe"],
)
def test_a_malformed_field_is_named(key: str, field: str, broken: bytes) -> None:
    parts = base64.b64decode(encrypt_token(TOKEN)).split(b"|")
    parts[FIELDS.index(field)] = broken
    with pytest.raises(errors.MalformedEnvelopeError, match=f"^Malformed {field}:") as caught:
        decrypt_token(base64.b64encode(b"|".join(parts)).decode())
    assert isinstance(caught.value, EnvelopeError)
    assert caught.value.field == field


def test_a_malformed_envelope_is_named(key: str) -> None:
    with pytest.raises(EnvelopeError):
        decrypt_token(encrypt_token(TOKEN)[:-4])


@pytest.mark.parametrize("change", [lambda s: s + "\n", lambda s: s[:9] + " " + s[9:]])
def test_what_the_published_reader_skips_is_skipped(key: str, change: Callable[[str], str]) -> None:
    assert decrypt_token(change(encrypt_token(TOKEN))) == TOKEN


@pytest.mark.parametrize("stored", ["", TOKEN, "ZGV2fGdBQUFB", "hunter2"])
def test_another_format_is_not_decrypted(key: str, stored: str) -> None:
    with pytest.raises(errors.UnsupportedFormatError) as caught:
        decrypt_token(stored)
    if stored:
        assert stored not in "".join(traceback.format_exception(caught.value))


# Tampering


def tampered(stored: str, field: str, bit: int) -> str:
    parts = base64.b64decode(stored).split(b"|")
    place = FIELDS.index(field)
    raw = parts[place] if field == "version" else base64.b64decode(parts[place])
    number = int.from_bytes(raw) ^ (1 << (bit % (len(raw) * 8)))
    flipped = number.to_bytes(len(raw))
    parts[place] = flipped if field == "version" else base64.b64encode(flipped)
    return base64.b64encode(b"|".join(parts)).decode()


@pytest.mark.parametrize(
    ("field", "error"),
    [
        ("encrypted data key", errors.InvalidCiphertextError),
        ("nonce", errors.AuthenticationFailedError),
        ("ciphertext", errors.AuthenticationFailedError),
    ],
)
def test_tampering_with_a_field_is_noticed(key: str, field: str, error: type[KeydeckError]) -> None:
    stored = encrypt_token(TOKEN)
    for bit in (0, 1, 7):
        with pytest.raises(error):
            decrypt_token(tampered(stored, field, bit))


def test_the_version_word_is_ignored_as_the_published_reader_does(key: str) -> None:
    stored = encrypt_token(TOKEN)
    assert {decrypt_token(tampered(stored, "version", bit)) for bit in (0, 1, 7)} == {TOKEN}


def test_no_byte_of_the_encrypted_data_key_can_be_changed(key: str) -> None:
    stored = encrypt_token(TOKEN)
    length = len(base64.b64decode(base64.b64decode(stored).split(b"|")[1]))
    for byte in range(length):
        with pytest.raises(KmsError):
            decrypt_token(tampered(stored, "encrypted data key", byte * 8 + byte % 8))
    assert decrypt_token(stored) == TOKEN


def test_fields_of_two_envelopes_can_not_be_mixed(key: str) -> None:
    first, second = (base64.b64decode(encrypt_token(t)).split(b"|") for t in ("first token", "other token"))
    for place in (1, 2, 3):
        mixed = [*first[:place], second[place], *first[place + 1 :]]
        with pytest.raises(errors.AuthenticationFailedError):
            decrypt_token(base64.b64encode(b"|".join(mixed)).decode())


# Trusted keys


def test_a_value_under_a_key_that_is_not_trusted_is_not_decrypted(
    key: str, new_key: Callable[[], str]
) -> None:
    foreign = platform_encrypts(TOKEN, new_key())
    assert platform_decrypts(foreign) == TOKEN
    with pytest.raises(errors.IncorrectKeyError) as caught:
        decrypt_token(foreign)
    assert key in str(caught.value)
    assert "KEYDECK_TRUSTED_KEYS" in str(caught.value)


def test_a_further_trusted_key_may_be_read_with_but_is_not_written_under(
    key: str, new_key: Callable[[], str], kms: Any, monkeypatch: Any
) -> None:
    old, older = new_key(), new_key()
    monkeypatch.setenv("KEYDECK_TRUSTED_KEYS", f"{old}, {older}")
    for former in (old, older):
        assert decrypt_token(platform_encrypts(TOKEN, former)) == TOKEN
    edk = base64.b64decode(base64.b64decode(encrypt_token(TOKEN)).split(b"|")[1])
    assert kms.decrypt(CiphertextBlob=edk)["KeyId"] == key


def test_reading_needs_no_key_to_write_under(key: str, monkeypatch: Any) -> None:
    stored = encrypt_token(TOKEN)
    monkeypatch.delenv("TOKEN_ENCRYPTION_KEY_ID")
    monkeypatch.setenv("KEYDECK_TRUSTED_KEYS", key)
    assert decrypt_token(stored) == TOKEN
    with pytest.raises(SettingsError):
        encrypt_token(TOKEN)


def test_an_alias_that_comes_to_mean_another_key_is_not_followed(
    key: str, new_key: Callable[[], str], kms: Any, monkeypatch: Any
) -> None:
    alias = f"alias/test-{uuid4().hex[:12]}"
    kms.create_alias(AliasName=alias, TargetKeyId=key)
    monkeypatch.setenv("TOKEN_ENCRYPTION_KEY_ID", alias)
    stored = encrypt_token(TOKEN)
    assert decrypt_token(stored) == TOKEN
    kms.update_alias(AliasName=alias, TargetKeyId=new_key())
    with pytest.raises(errors.UntrustedKeyError):
        encrypt_token(TOKEN)
    kms.delete_alias(AliasName=alias)


# When KMS refuses or is away


def test_a_disabled_key_is_told(key: str, kms: Any) -> None:
    stored = encrypt_token(TOKEN)
    kms.disable_key(KeyId=key)
    for use in (lambda: encrypt_token(TOKEN), lambda: decrypt_token(stored)):
        with pytest.raises(errors.KeyDisabledError, match=key):
            use()
    kms.enable_key(KeyId=key)
    assert decrypt_token(stored) == TOKEN


@pytest.mark.parametrize("action", ["kms:GenerateDataKey", "kms:Decrypt"])
def test_a_missing_permission_is_named(key: str, sandbox: Sandbox, action: str) -> None:
    stored = encrypt_token(TOKEN)
    sandbox.control.add_denial(Denial("*", action, key))
    denied, allowed = (lambda: encrypt_token(TOKEN)), (lambda: decrypt_token(stored))
    if action == "kms:Decrypt":
        denied, allowed = allowed, denied
    with pytest.raises(errors.KmsAccessDeniedError, match=f"Allow {action}") as caught:
        denied()
    assert caught.value.action == action
    assert allowed()


def test_the_platform_needs_no_other_permission(key: str, sandbox: Sandbox) -> None:
    for action in ("DescribeKey", "Encrypt", "ReEncrypt*", "List*", "Get*"):
        sandbox.control.add_denial(Denial("*", f"kms:{action}"))
    assert decrypt_token(encrypt_token(TOKEN)) == TOKEN


def test_a_failure_that_passes_is_tried_again(key: str, sandbox: Sandbox) -> None:
    stored = encrypt_token(TOKEN)
    sandbox.control.add_fault(Fault("Decrypt", "KMSInternalException", count=1))
    assert decrypt_token(stored) == TOKEN


def test_an_unreachable_endpoint_is_told(key: str, monkeypatch: Any) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(errors.KmsUnreachableError, match="AWS_ENDPOINT_URL"):
        encrypt_token(TOKEN)


def test_every_failure_is_a_keydeck_error_that_shows_no_token(key: str, sandbox: Sandbox) -> None:
    stored = encrypt_token(TOKEN)
    sandbox.control.add_denial(Denial("*", "kms:*", key))
    for use in (
        lambda: encrypt_token(TOKEN),
        lambda: decrypt_token(stored),
        lambda: decrypt_token(TOKEN),
        lambda: decrypt_token(stored[:-8]),
        lambda: encrypt_token(TOKEN + "\ud800"),
    ):
        with pytest.raises(KeydeckError) as caught:
            use()
        told = "".join(traceback.format_exception(caught.value)) + repr(vars(caught.value))
        assert TOKEN not in told
        assert stored[40:60] not in told

"""Keyring: settings without keys, with names that are none, and with keys that are not there."""

from __future__ import annotations

import pytest

from console.sandbox.endpoint import EndpointControl
from crypto_core.aws.kms import KmsApi
from crypto_core.keyring.kms_keyring import KmsKeyring
from crypto_core.values.errors import KeyNotFoundError, KmsError, KmsUnreachableError, SettingsError
from tests.crypto_core.keyring.scene import NOBODYS, REGION, NewKey


def test_without_keys_nothing_is_asked(kms: KmsApi) -> None:
    keyring = KmsKeyring(kms, write_key=None)
    with pytest.raises(SettingsError, match="TOKEN_ENCRYPTION_KEY_ID"):
        keyring.generate()
    with pytest.raises(SettingsError, match="KEYDECK_TRUSTED_KEYS"):
        keyring.unwrap(b"x")
    with pytest.raises(SettingsError, match="KEYDECK_TRUSTED_KEYS"):
        keyring.rewrap(b"x", NOBODYS)
    assert kms.calls == 0


def test_what_is_no_key_name_is_refused_before_anything_is_sent(kms: KmsApi, new_key: NewKey) -> None:
    for arguments in ({"write_key": "tokens"}, {"write_key": NOBODYS, "trusted": ["not a key"]}):
        with pytest.raises(SettingsError, match="Not a KMS key"):
            KmsKeyring(kms, **arguments)  # type: ignore[arg-type]
    keyring = KmsKeyring(kms, write_key=new_key())
    for use in (keyring.generate, keyring.trusting, lambda key: keyring.rewrap(b"x", key)):
        with pytest.raises(SettingsError, match="Not a KMS key"):
            use("tokens")
    assert kms.calls == 0


def test_a_trusted_key_is_listed_once_the_write_key_first(kms: KmsApi) -> None:
    other = NOBODYS[:-1] + "1"
    assert KmsKeyring(kms, write_key=NOBODYS, trusted=[other, NOBODYS, other]).trusted == (NOBODYS, other)


def test_a_key_that_is_not_there_and_an_endpoint_that_is_not_there_are_told_apart(
    aws: EndpointControl, kms: KmsApi
) -> None:
    with pytest.raises(KeyNotFoundError):
        KmsKeyring(kms, write_key=NOBODYS).generate()
    unreachable = KmsApi([REGION], endpoint_url="http://127.0.0.1:9", attempts=1)
    with pytest.raises(KmsUnreachableError) as caught:
        KmsKeyring(unreachable, write_key=NOBODYS).generate()
    assert isinstance(caught.value, KmsError)

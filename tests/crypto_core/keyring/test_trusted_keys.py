"""Keyring: which of several trusted keys is asked, in which order, and what their refusals say."""

from __future__ import annotations

from typing import Any

import pytest

from console.sandbox.endpoint import Denial, EndpointControl
from crypto_core.aws.kms import KmsApi
from crypto_core.keyring.kms_keyring import KmsKeyring
from crypto_core.values import errors
from tests.crypto_core.damaging import damaged
from tests.crypto_core.keyring.scene import NOBODYS, MakeAlias, NewKey, wrapped


def test_trusted_keys_are_asked_until_one_opens_and_the_likely_one_first_from_then_on(
    kms: KmsApi, client: Any, new_key: NewKey
) -> None:
    first, second, third = new_key(), new_key(), new_key()
    keyring = KmsKeyring(kms, write_key=first, trusted=[second, third])
    assert keyring.trusted == (first, second, third)
    assert keyring.unwrap(wrapped(client, third)).wrapped_by.key_arn == third
    assert kms.calls == 3
    # The next blob under the same key material costs one call.
    assert keyring.unwrap(wrapped(client, third)).wrapped_by.key_arn == third
    assert kms.calls == 4
    assert keyring.rewrap(wrapped(client, third), first).source.key_arn == third
    assert kms.calls == 5
    # What was learnt is known to the keyring that trusts one key more.
    assert keyring.trusting(new_key()).unwrap(wrapped(client, third)).wrapped_by.key_arn == third
    assert kms.calls == 6


@pytest.mark.parametrize("by", ["ARN", "alias"])
def test_the_likely_key_is_asked_first(
    kms: KmsApi, client: Any, new_key: NewKey, alias: MakeAlias, by: str
) -> None:
    first, second = new_key(), new_key()
    keyring = KmsKeyring(kms, write_key=first, trusted=[alias(second) if by == "alias" else second])
    keyring.unwrap(wrapped(client, second))  # an alias is known by its ARN once it has answered
    keyring._likely.clear()
    before = kms.calls
    assert keyring.unwrap(wrapped(client, second), likely=second).wrapped_by.key_arn == second
    assert keyring.rewrap(wrapped(client, second), first, likely=second).source.key_arn == second
    assert kms.calls == before + 2


def test_a_likely_key_that_is_not_trusted_is_not_asked(kms: KmsApi, client: Any, new_key: NewKey) -> None:
    trusted, other = new_key(), new_key()
    with pytest.raises(errors.IncorrectKeyError):
        KmsKeyring(kms, write_key=trusted).unwrap(wrapped(client, other), likely=other)
    assert kms.calls == 1


def test_a_key_is_trusted_for_one_command_only(kms: KmsApi, client: Any, new_key: NewKey) -> None:
    configured, named = new_key(), new_key()
    keyring = KmsKeyring(kms, write_key=configured)
    blob = wrapped(client, named)
    assert keyring.trusting(named).unwrap(blob).wrapped_by.key_arn == named
    assert keyring.trusted == (configured,)
    with pytest.raises(errors.IncorrectKeyError):
        keyring.unwrap(blob)


def test_only_one_key_is_asked_where_the_caller_names_it(kms: KmsApi, client: Any, new_key: NewKey) -> None:
    trusted, named = new_key(), new_key()
    keyring = KmsKeyring(kms, write_key=trusted)
    assert keyring.unwrap(wrapped(client, named), only=named).wrapped_by.key_arn == named
    with pytest.raises(errors.IncorrectKeyError):
        keyring.unwrap(wrapped(client, trusted), only=named)
    assert kms.calls == 2
    with pytest.raises(errors.IncorrectKeyError):
        keyring.unwrap(wrapped(client, named))


def test_a_trusted_key_that_refuses_does_not_hide_the_one_that_opens(
    kms: KmsApi, client: Any, new_key: NewKey
) -> None:
    disabled, right = new_key(), new_key()
    client.disable_key(KeyId=disabled)
    keyring = KmsKeyring(kms, write_key=NOBODYS, trusted=[disabled, right])
    assert keyring.unwrap(wrapped(client, right)).wrapped_by.key_arn == right


def test_a_key_that_refuses_says_more_than_keys_that_did_not_wrap_it(
    aws: EndpointControl, kms: KmsApi, client: Any, new_key: NewKey
) -> None:
    other, right = new_key(), new_key()
    blob = wrapped(client, right)
    keyring = KmsKeyring(kms, write_key=other, trusted=[right])
    client.disable_key(KeyId=right)
    with pytest.raises(errors.KeyDisabledError, match=right):
        keyring.unwrap(blob)
    aws.add_denial(Denial("*", "kms:Decrypt", right))
    with pytest.raises(errors.KmsAccessDeniedError, match=right):
        keyring.unwrap(blob)


def test_a_damaged_data_key_is_called_damaged_though_other_keys_did_not_wrap_it(
    kms: KmsApi, client: Any, new_key: NewKey
) -> None:
    other, right = new_key(), new_key()
    with pytest.raises(errors.InvalidCiphertextError) as caught:
        KmsKeyring(kms, write_key=other, trusted=[right]).unwrap(damaged(wrapped(client, right)))
    assert caught.value.key == right


def test_a_throttled_call_is_not_taken_for_another_key(
    aws: EndpointControl, kms: KmsApi, client: Any, new_key: NewKey
) -> None:
    first, second = new_key(), new_key()
    blob = wrapped(client, second)
    aws.set_throttle(0)
    with pytest.raises(errors.KmsThrottledError):
        KmsKeyring(kms, write_key=first, trusted=[second]).unwrap(blob)
    assert kms.calls == 1

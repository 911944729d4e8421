"""Data-key cache: emptied of what a key wrapped when KMS refuses the key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from console.sandbox.endpoint import Denial, EndpointControl, Fault
from crypto_core.aws.kms import KmsApi
from crypto_core.keyring.data_keys import DataKeyCache
from crypto_core.keyring.kms_keyring import KmsKeyring
from crypto_core.values.errors import (
    KeyDisabledError,
    KeyNotFoundError,
    KeyStateError,
    KmsAccessDeniedError,
    KmsError,
    KmsThrottledError,
    KmsUnreachableError,
)
from crypto_core.values.secret import DataKey
from tests.crypto_core.keyring.cache.scene import is_wiped
from tests.crypto_core.keyring.scene import REGION, NewKey, wrapped

# Purged when KMS refuses the key. Each makes KMS refuse something about the key, and says the error.


def disabled(aws: EndpointControl, client: Any, key: str) -> type[KmsError]:
    client.disable_key(KeyId=key)
    return KeyDisabledError


def denied(aws: EndpointControl, client: Any, key: str) -> type[KmsError]:
    aws.add_denial(Denial("*", "*", key))
    return KmsAccessDeniedError


def pending_deletion(aws: EndpointControl, client: Any, key: str) -> type[KmsError]:
    client.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    return KeyStateError


def gone(aws: EndpointControl, client: Any, key: str) -> type[KmsError]:
    aws.add_fault(Fault("*", "NotFoundException", message=f"Key '{key}' does not exist"))
    return KeyNotFoundError


def by_generating(keyring: KmsKeyring, key: str, blob: bytes) -> None:
    keyring.generate(key)


def by_unwrapping_another(keyring: KmsKeyring, key: str, blob: bytes) -> None:
    keyring.unwrap(blob)


def by_unwrapping_with_it_only(keyring: KmsKeyring, key: str, blob: bytes) -> None:
    keyring.unwrap(blob, only=key)


def by_rewrapping_from_it(keyring: KmsKeyring, key: str, blob: bytes) -> None:
    keyring.rewrap(blob, keyring.trusted[-1])


@pytest.mark.parametrize(
    "provoke",
    [by_generating, by_unwrapping_another, by_unwrapping_with_it_only, by_rewrapping_from_it],
    ids=lambda provoke: provoke.__name__,
)
@pytest.mark.parametrize("refuse", [disabled, denied, pending_deletion, gone], ids=lambda f: f.__name__)
def test_a_refusal_of_the_key_ends_what_is_held_under_it(
    aws: EndpointControl,
    kms: KmsApi,
    client: Any,
    new_key: NewKey,
    held: list[DataKey],
    refuse: Callable[[EndpointControl, Any, str], type[KmsError]],
    provoke: Callable[[KmsKeyring, str, bytes], None],
) -> None:
    key, other = new_key(), new_key()
    cache = DataKeyCache()
    keyring = KmsKeyring(kms, write_key=key, trusted=[other], cache=cache)
    opened, another = wrapped(client, key), wrapped(client, key)
    others = wrapped(client, other)
    keyring.unwrap(opened)
    keyring.unwrap(others)
    assert len(cache) == 2
    error = refuse(aws, client, key)
    # Nobody has told Keydeck yet: the age limit is for this moment.
    calls = kms.calls
    keyring.unwrap(opened).data_key.wipe()
    assert kms.calls == calls

    with pytest.raises(error):
        provoke(keyring, key, another)
    assert is_wiped(held[0])
    with pytest.raises(error):
        keyring.unwrap(opened)
    if refuse is not gone:  # which is played for every key
        assert len(cache) == 1
        calls = kms.calls
        assert keyring.unwrap(others).wrapped_by.key_arn == other
        assert kms.calls == calls


def test_a_refusal_under_the_name_of_an_alias_ends_what_is_held_under_the_key(
    kms: KmsApi, client: Any, new_key: NewKey
) -> None:
    key = new_key()
    alias = f"alias/cached-{key[-12:]}"
    client.create_alias(AliasName=alias, TargetKeyId=key)
    cache = DataKeyCache()
    keyring = KmsKeyring(kms, write_key=alias, cache=cache)
    blob = wrapped(client, key)
    keyring.unwrap(blob)
    assert keyring.unwrap(blob).wrapped_by.key_arn == key
    assert kms.calls == 1
    client.disable_key(KeyId=key)
    with pytest.raises(KeyDisabledError):
        keyring.generate()
    assert len(cache) == 0
    client.delete_alias(AliasName=alias)


def test_a_failure_that_is_no_refusal_leaves_the_cache_as_it_is(
    aws: EndpointControl, kms: KmsApi, client: Any, new_key: NewKey
) -> None:
    """While KMS is down, what is held still opens: that is what it is for."""
    key = new_key()
    keyring = KmsKeyring(kms, write_key=key, cache=DataKeyCache())
    blob = wrapped(client, key)
    keyring.unwrap(blob)
    for error, kind in (("ThrottlingException", KmsThrottledError), ("reset", KmsUnreachableError)):
        aws.add_fault(Fault("*", error))
        with pytest.raises(kind):
            keyring.generate()
        keyring.unwrap(blob)
        aws.clear()


def test_a_data_key_that_was_opened_before_the_refusal_is_not_held_after_it(
    aws: EndpointControl, client: Any, new_key: NewKey
) -> None:
    """Two threads: one's answer is on its way while the other learns that the key is disabled."""
    key, cache = new_key(), DataKeyCache()

    class Overtaken(KmsApi):
        def call(self, operation: str, *, region: str | None = None, **parameters: Any) -> dict[str, Any]:
            answer = super().call(operation, region=region, **parameters)
            if operation == "Decrypt":
                client.disable_key(KeyId=key)
                with pytest.raises(KeyDisabledError):
                    keyring.generate()
            return answer

    keyring = KmsKeyring(Overtaken([REGION], attempts=1), write_key=key, cache=cache)
    keyring.unwrap(wrapped(client, key))
    assert len(cache) == 0


def test_a_refused_key_does_not_keep_another_keys_data_keys_from_being_held(
    kms: KmsApi, client: Any, new_key: NewKey
) -> None:
    refused, right = new_key(), new_key()
    client.disable_key(KeyId=refused)
    cache = DataKeyCache()
    keyring = KmsKeyring(kms, write_key=refused, trusted=[right], cache=cache)
    blob = wrapped(client, right)
    keyring.unwrap(blob)
    calls = kms.calls
    keyring.unwrap(blob)
    assert kms.calls == calls
    assert len(cache) == 1

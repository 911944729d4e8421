"""Data-key cache: off unless asked for, and what a keyring with one still asks KMS."""

from __future__ import annotations

from typing import Any

import pytest

from crypto_core.aws.kms import KmsApi
from crypto_core.keyring.data_keys import CacheLimits, DataKeyCache
from crypto_core.keyring.kms_keyring import KmsKeyring
from crypto_core.log.observation import Silent
from crypto_core.values.errors import IncorrectKeyError, InvalidCiphertextError, KmsError, UntrustedKeyError
from crypto_core.values.secret import exposed
from tests.clock import Clock
from tests.crypto_core.damaging import damaged
from tests.crypto_core.keyring.cache.scene import ANOTHER_ROW, KEY, ROW
from tests.crypto_core.keyring.scene import NewKey, wrapped


class Counting(Silent):
    def __init__(self) -> None:
        self.hits: list[bool] = []

    def cache(self, *, hit: bool) -> None:
        self.hits.append(hit)


def test_without_a_cache_every_unwrap_is_a_call(kms: KmsApi, client: Any, new_key: NewKey) -> None:
    observer = Counting()
    key = new_key()
    keyring = KmsKeyring(kms, write_key=key, observer=observer)
    blob = wrapped(client, key)
    for _ in range(3):
        keyring.unwrap(blob)
    assert kms.calls == 3
    assert observer.hits == []


def test_with_a_cache_one_call_serves_until_the_entry_ends(
    kms: KmsApi, client: Any, new_key: NewKey, clock: Clock
) -> None:
    observer = Counting()
    key = new_key()
    cache = DataKeyCache(CacheLimits(max_age=60, max_uses=2), clock=clock)
    keyring = KmsKeyring(kms, write_key=key, cache=cache, observer=observer)
    blob = wrapped(client, key)
    opened = [keyring.unwrap(blob) for _ in range(3)]
    assert kms.calls == 1
    assert observer.hits == [False, True, True]
    assert {bytes(exposed(o.data_key)) for o in opened} == {client.decrypt(CiphertextBlob=blob)["Plaintext"]}
    assert opened[0].wrapped_by == opened[1].wrapped_by == opened[2].wrapped_by
    assert opened[1].wrapped_by.key_material_id
    # The uses are spent.
    keyring.unwrap(blob)
    assert kms.calls == 2
    clock.now += 60
    keyring.unwrap(blob)
    assert kms.calls == 3
    assert observer.hits == [False, True, True, False, False]


def test_a_wiped_answer_leaves_the_held_data_key_whole(kms: KmsApi, client: Any, new_key: NewKey) -> None:
    key = new_key()
    keyring = KmsKeyring(kms, write_key=key, cache=DataKeyCache())
    blob = wrapped(client, key)
    plaintext = client.decrypt(CiphertextBlob=blob)["Plaintext"]
    for _ in range(3):
        with keyring.unwrap(blob).data_key as data_key:
            assert exposed(data_key) == plaintext
    assert kms.calls == 1


def test_the_context_of_another_row_is_not_served(kms: KmsApi, client: Any, new_key: NewKey) -> None:
    key = new_key()
    keyring = KmsKeyring(kms, write_key=key, cache=DataKeyCache())
    blob = wrapped(client, key, ROW)
    keyring.unwrap(blob, context=ROW)
    for context in (ANOTHER_ROW, {}):
        with pytest.raises(InvalidCiphertextError):
            keyring.unwrap(blob, context=context)
    assert kms.calls == 3
    keyring.unwrap(blob, context=ROW)
    assert kms.calls == 3


def test_an_envelope_that_names_another_trusted_key_is_not_served(
    kms: KmsApi, client: Any, new_key: NewKey
) -> None:
    key, other = new_key(), new_key()
    keyring = KmsKeyring(kms, write_key=key, trusted=[other], cache=DataKeyCache())
    blob = wrapped(client, key)
    keyring.unwrap(blob)
    with pytest.raises(IncorrectKeyError):
        keyring.unwrap(blob, named=other)
    with pytest.raises(UntrustedKeyError):
        keyring.unwrap(blob, named=KEY)
    calls = kms.calls
    assert keyring.unwrap(blob, named=key).wrapped_by.key_arn == key
    assert kms.calls == calls


def test_a_key_that_is_not_trusted_any_more_is_not_served(kms: KmsApi, client: Any, new_key: NewKey) -> None:
    kept, dropped = new_key(), new_key()
    keyring = KmsKeyring(kms, write_key=kept, cache=DataKeyCache())
    blob = wrapped(client, dropped)
    wider = keyring.trusting(dropped)
    for _ in range(2):
        wider.unwrap(blob)
    calls = kms.calls
    with pytest.raises(IncorrectKeyError):
        keyring.unwrap(blob)
    assert kms.calls == calls + 1


def test_a_keyring_that_trusts_more_shares_the_cache(kms: KmsApi, client: Any, new_key: NewKey) -> None:
    key = new_key()
    keyring = KmsKeyring(kms, write_key=key, cache=DataKeyCache())
    blob = wrapped(client, key)
    keyring.unwrap(blob)
    keyring.trusting(new_key()).unwrap(blob)
    assert kms.calls == 1


def test_asking_one_key_only_goes_past_the_cache(kms: KmsApi, client: Any, new_key: NewKey) -> None:
    """A verification that the cache answered would verify nothing."""
    observer, cache = Counting(), DataKeyCache()
    key, other = new_key(), new_key()
    keyring = KmsKeyring(kms, write_key=key, cache=cache, observer=observer)
    blob = wrapped(client, key)
    keyring.unwrap(blob, only=key)
    assert len(cache) == 0
    keyring.unwrap(blob)
    keyring.unwrap(blob, only=key)
    assert kms.calls == 3
    with pytest.raises(IncorrectKeyError):
        keyring.unwrap(blob, only=other)
    assert observer.hits == [False]


def test_attribution_and_rewrap_go_past_the_cache(kms: KmsApi, client: Any, new_key: NewKey) -> None:
    key = new_key()
    keyring = KmsKeyring(kms, write_key=key, cache=DataKeyCache())
    blob = wrapped(client, key)
    keyring.unwrap(blob)
    keyring.attribute(blob)
    keyring.rewrap(blob, key)
    assert kms.calls == 4


def test_what_kms_did_not_open_or_opened_with_the_wrong_key_is_not_held(
    kms: KmsApi, client: Any, new_key: NewKey
) -> None:
    cache = DataKeyCache()
    key, other = new_key(), new_key()
    keyring = KmsKeyring(kms, write_key=key, cache=cache)
    for blob in (damaged(wrapped(client, key)), wrapped(client, other)):
        with pytest.raises(KmsError):
            keyring.unwrap(blob)
    generated = keyring.generate()
    assert len(cache) == 0
    keyring.unwrap(generated.encrypted_data_key)
    assert len(cache) == 1

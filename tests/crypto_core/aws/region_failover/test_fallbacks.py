"""Routes: reads and attribution fall back to a key's replicas; no other question travels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from console.sandbox.endpoint import Denial, EndpointControl
from crypto_core.keyring.cipher import TokenCipher
from crypto_core.keyring.kms_keyring import KmsKeyring
from crypto_core.values.errors import (
    KeyDisabledError,
    KmsAccessDeniedError,
    KmsThrottledError,
    KmsUnreachableError,
)
from crypto_core.values.secret import exposed
from tests.clock import Clock
from tests.crypto_core.aws.region_failover.scene import AWAY, FAR, HOME, Outage, replica, wrapped

TOKEN = "ghp_abcdefghijklmnopqrstuvwxyz0123456789"

# Reads fall back


def test_a_replica_opens_when_the_keys_own_region_does_not_answer(
    kms: Outage, client: Any, new_mrk: Callable[..., str]
) -> None:
    key = new_mrk(AWAY)
    keyring = KmsKeyring(kms, write_key=key)
    blob = wrapped(client, key)
    kms.down = {HOME}
    opened = keyring.unwrap(blob)
    assert opened.wrapped_by.key_arn == replica(key)
    assert exposed(opened.data_key) == client.decrypt(CiphertextBlob=blob)["Plaintext"]
    assert kms.asked_since() == [HOME, AWAY]


def test_while_the_own_region_answers_no_other_is_asked(
    kms: Outage, client: Any, new_mrk: Callable[..., str]
) -> None:
    key = new_mrk(AWAY)
    assert KmsKeyring(kms, write_key=key).unwrap(wrapped(client, key)).wrapped_by.key_arn == key
    assert kms.asked_since() == [HOME]


@pytest.mark.parametrize("trusted", ["replica ARN", "bare key id", "alias", "alias ARN"])
def test_a_replica_opens_in_whatever_form_the_key_is_trusted(
    kms: Outage, client: Any, new_mrk: Callable[..., str], alias: Callable[[str], str], trusted: str
) -> None:
    key = new_mrk(AWAY)
    name = alias(key)
    write_key = {
        "replica ARN": replica(key),
        "bare key id": key.rpartition("/")[2],
        "alias": name,
        "alias ARN": f"{key.rpartition(':')[0]}:{name}",
    }[trusted]
    keyring = KmsKeyring(kms, write_key=write_key)
    blob = wrapped(client, key)
    keyring.unwrap(blob)  # an alias is known to mean a multi-Region key once it has answered
    kms.asked_since()
    own, other = (AWAY, HOME) if trusted == "replica ARN" else (HOME, AWAY)
    kms.down = {own}
    assert keyring.unwrap(blob).wrapped_by.key_arn == (key if other == HOME else replica(key))
    assert kms.asked_since() == [own, other]


def test_a_token_opens_through_a_replica(kms: Outage, new_mrk: Callable[..., str]) -> None:
    key = new_mrk(AWAY)
    cipher = TokenCipher(KmsKeyring(kms, write_key=key))
    stored = cipher.encrypt(TOKEN).stored
    kms.down = {HOME}
    opened = cipher.open(stored)
    assert opened.token.reveal() == TOKEN
    assert opened.wrapped_by.key_arn == replica(key)


def test_a_single_region_key_is_asked_about_in_its_own_region_only(
    kms: Outage, client: Any, new_key: Callable[[], str], alias: Callable[[str], str]
) -> None:
    key = new_key()
    blob = wrapped(client, key)
    for name in (key, key.rpartition("/")[2], alias(key)):
        keyring = KmsKeyring(kms, write_key=name)
        kms.down = set()
        keyring.unwrap(blob)
        kms.asked_since()
        kms.down = {HOME}
        with pytest.raises(KmsUnreachableError):
            keyring.unwrap(blob)
        assert kms.asked_since() == [HOME]


def test_a_region_that_is_not_configured_is_not_asked(
    client: Any, aws: EndpointControl, new_mrk: Callable[..., str]
) -> None:
    kms = Outage(HOME)
    key = new_mrk(AWAY)
    blob = wrapped(client, key)
    kms.down = {HOME}
    with pytest.raises(KmsUnreachableError):
        KmsKeyring(kms, write_key=key).unwrap(blob)
    assert kms.asked_since() == [HOME]


def test_a_region_that_throttles_or_refuses_is_up(
    aws: EndpointControl, kms: Outage, client: Any, new_mrk: Callable[..., str]
) -> None:
    key = new_mrk(AWAY)
    blob = wrapped(client, key)
    keyring = KmsKeyring(kms, write_key=key)
    aws.set_throttle(0)
    with pytest.raises(KmsThrottledError):
        keyring.unwrap(blob)
    aws.set_throttle(None)
    client.disable_key(KeyId=key)
    with pytest.raises(KeyDisabledError):
        keyring.unwrap(blob)
    aws.add_denial(Denial("*", "kms:Decrypt", key))
    with pytest.raises(KmsAccessDeniedError):
        keyring.unwrap(blob)
    assert kms.asked_since() == [HOME] * 3


# Writes never fall back


@pytest.mark.parametrize("write", ["generate", "rewrap"])
def test_a_write_goes_to_the_keys_own_region_or_nowhere(
    kms: Outage, client: Any, new_mrk: Callable[..., str], write: str, clock: Clock
) -> None:
    """A data key that a replica wrapped would be the replica's in CloudTrail and in every census."""
    key = new_mrk(AWAY)
    keyring = KmsKeyring(kms, write_key=key, clock=clock)
    blob = wrapped(client, key)
    kms.down = {HOME}
    for _ in range(2):
        with pytest.raises(KmsUnreachableError):
            keyring.generate() if write == "generate" else keyring.rewrap(blob, key)
        assert kms.asked_since() == [HOME]


# Attribution


def test_attribution_goes_on_to_the_next_region(
    kms: Outage, client: Any, new_mrk: Callable[..., str], new_key: Callable[[], str], clock: Clock
) -> None:
    key, single = new_mrk(AWAY), new_key()
    keyring = KmsKeyring(kms, write_key=None, clock=clock)
    blob, homes = wrapped(client, key), wrapped(client, single)
    kms.down = {HOME}
    assert keyring.attribute(blob).key_arn == replica(key)
    assert kms.asked_since() == [HOME, AWAY, AWAY]
    assert keyring.attribute(blob).key_arn == replica(key)
    assert kms.asked_since() == [AWAY, AWAY]
    # That the Region which could tell doesn't answer says more than that the others can't.
    with pytest.raises(KmsUnreachableError):
        keyring.attribute(homes)
    assert kms.asked_since() == [AWAY, HOME]
    kms.down = set()
    clock.now += 30
    assert keyring.attribute(homes).key_arn == single


def test_attribution_asks_the_region_of_the_key_that_the_envelope_names_first(
    kms: Outage, client: Any, new_mrk: Callable[..., str]
) -> None:
    key = new_mrk(AWAY)
    keyring = KmsKeyring(kms, write_key=None)
    blob = wrapped(client, key)
    assert keyring.attribute(blob, named=replica(key)).key_arn == replica(key)
    assert keyring.attribute(blob, named=key).key_arn == key
    assert kms.asked_since() == [AWAY, AWAY, HOME, HOME]
    # One that isn't configured is not asked: an envelope's claim doesn't choose whom Keydeck calls.
    assert keyring.attribute(blob, named=replica(key, FAR)).key_arn == key
    assert kms.asked_since() == [HOME, HOME]

"""Routes: what a replica's Region says does not stand for the key, nor does another account's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from console.sandbox.endpoint import ACCOUNT, Denial, EndpointControl
from crypto_core.aws.kms import KmsApi
from crypto_core.keyring.data_keys import DataKeyCache
from crypto_core.keyring.kms_keyring import KmsKeyring
from crypto_core.values import errors
from tests.crypto_core.aws.region_failover.scene import AWAY, FAR, HOME, Outage, replica, wrapped
from tests.crypto_core.damaging import damaged


def test_a_region_without_a_replica_does_not_hide_that_the_own_region_is_unreachable(
    kms: Outage, client: Any, new_mrk: Callable[..., str]
) -> None:
    key = new_mrk()
    keyring = KmsKeyring(kms, write_key=key)
    blob = wrapped(client, key)
    kms.down = {HOME}
    for expected in ([HOME, AWAY], [AWAY, HOME]):
        with pytest.raises(errors.KmsUnreachableError):
            keyring.unwrap(blob)
        assert kms.asked_since() == expected


def test_the_own_region_alone_says_that_a_key_is_not_there(kms: Outage) -> None:
    nobodys = f"arn:aws:kms:{HOME}:{ACCOUNT}:key/mrk-{'0' * 32}"
    with pytest.raises(errors.KeyNotFoundError):
        KmsKeyring(kms, write_key=nobodys).unwrap(b"x" * 100)
    assert kms.asked_since() == [HOME]


def denied(aws: EndpointControl, kms: KmsApi, arn: str) -> None:
    """IAM policies name ARNs, so a replica that they don't name is denied, not missing."""
    aws.add_denial(Denial("*", "kms:Decrypt", arn))


def disabled(aws: EndpointControl, kms: KmsApi, arn: str) -> None:
    aws.set_key_state(arn, "Disabled", region=AWAY)


def pending_deletion(aws: EndpointControl, kms: KmsApi, arn: str) -> None:
    aws.set_key_state(arn, "PendingDeletion", region=AWAY)


@pytest.mark.parametrize("refuse", [denied, disabled, pending_deletion], ids=lambda refuse: refuse.__name__)
def test_a_replica_that_refuses_does_not_hide_the_one_that_opens_nor_that_the_own_region_is_unreachable(
    aws: EndpointControl,
    client: Any,
    new_mrk: Callable[..., str],
    refuse: Callable[[EndpointControl, KmsApi, str], None],
) -> None:
    key, cache = new_mrk(AWAY, FAR), DataKeyCache()
    kms = Outage(HOME, AWAY, FAR)
    keyring = KmsKeyring(kms, write_key=key, cache=cache)
    held, blob = wrapped(client, key), wrapped(client, key)
    keyring.unwrap(held)
    kms.asked_since()
    refuse(aws, kms, replica(key))
    kms.down = {HOME, FAR}
    with pytest.raises(errors.KmsUnreachableError) as caught:
        keyring.unwrap(blob)
    assert caught.value.key == key
    assert kms.asked_since() == [HOME, AWAY, FAR]
    # Nor is it a refusal of the key: what is held of it stays.
    keyring.unwrap(held)
    assert kms.asked_since() == []
    kms.down = {HOME}
    assert KmsKeyring(kms, write_key=key).unwrap(blob).wrapped_by.key_arn == replica(key, FAR)


def test_a_replica_opens_only_what_the_key_wrapped(
    kms: Outage, client: Any, new_mrk: Callable[..., str]
) -> None:
    key, other = new_mrk(AWAY), new_mrk(AWAY)
    keyring = KmsKeyring(kms, write_key=key)
    others, broken = wrapped(client, other), damaged(wrapped(client, key))
    kms.down = {HOME}
    with pytest.raises(errors.IncorrectKeyError):
        keyring.unwrap(others)
    with pytest.raises(errors.InvalidCiphertextError):
        keyring.unwrap(broken)


# Trust


class Impostor(Outage):
    """KMS whose replica's Region answers with a key of another account."""

    def call(self, operation: str, *, region: str | None = None, **parameters: Any) -> dict[str, Any]:
        answer = super().call(operation, region=region, **parameters)
        if region == AWAY:
            answer["KeyId"] = answer["KeyId"].replace(ACCOUNT, "999999999999")
        return answer


def test_a_replica_in_another_account_is_not_the_same_key(
    aws: EndpointControl, client: Any, new_mrk: Callable[..., str]
) -> None:
    kms = Impostor()
    key = new_mrk(AWAY)
    blob = wrapped(client, key)
    kms.down = {HOME}
    with pytest.raises(errors.UntrustedKeyError, match="999999999999"):
        KmsKeyring(kms, write_key=key).unwrap(blob)
    # Nor is an envelope believed that names it.
    kms.asked_since()
    with pytest.raises(errors.UntrustedKeyError):
        KmsKeyring(kms, write_key=key).unwrap(blob, named=key.replace(ACCOUNT, "999999999999"))
    assert kms.asked_since() == []

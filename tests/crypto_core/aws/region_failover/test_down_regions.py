"""Routes: a Region that does not answer is asked last for a while, and the order of ways to a key."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from console.sandbox.endpoint import ACCOUNT, EndpointControl
from crypto_core.aws.kms import KmsApi
from crypto_core.aws.region_failover import DOWN_SECONDS, Routes
from crypto_core.keyring.kms_keyring import KmsKeyring
from crypto_core.values.errors import KmsError, KmsUnreachableError
from tests.clock import Clock
from tests.crypto_core.aws.region_failover.scene import AWAY, FAR, HOME, Outage, replica, wrapped


def test_a_region_that_did_not_answer_is_asked_last_for_thirty_seconds(
    kms: Outage, client: Any, new_mrk: Callable[..., str], clock: Clock
) -> None:
    key = new_mrk(AWAY)
    keyring = KmsKeyring(kms, write_key=key, clock=clock)
    blob = wrapped(client, key)
    kms.down = {HOME}
    keyring.unwrap(blob)
    assert kms.asked_since() == [HOME, AWAY]
    assert DOWN_SECONDS == 30
    clock.now += 29.9
    keyring.unwrap(blob)
    assert kms.asked_since() == [AWAY]
    clock.now += 0.1
    keyring.unwrap(blob)
    assert kms.asked_since() == [HOME, AWAY]
    # That the Region is up again is found out with the next attempt, not before.
    kms.down = set()
    keyring.unwrap(blob)
    assert kms.asked_since() == [AWAY]
    clock.now += 30
    assert keyring.unwrap(blob).wrapped_by.key_arn == key
    assert kms.asked_since() == [HOME]


@pytest.mark.parametrize("named", ["key ARN", "bare key id"])
def test_a_down_region_that_answers_as_the_last_resort_is_up_again(
    kms: Outage, client: Any, new_mrk: Callable[..., str], clock: Clock, named: str
) -> None:
    key = new_mrk(AWAY)
    keyring = KmsKeyring(kms, write_key=key if named == "key ARN" else key.rpartition("/")[2], clock=clock)
    blob = wrapped(client, key)
    kms.down = {HOME}
    keyring.unwrap(blob)
    kms.down = {AWAY}
    keyring.unwrap(blob)
    assert kms.asked_since() == [HOME, AWAY, AWAY, HOME]
    keyring.unwrap(blob)
    assert kms.asked_since() == [HOME]


def test_what_one_key_learnt_of_a_region_holds_for_every_key_and_for_a_keyring_that_trusts_more(
    kms: Outage, client: Any, new_mrk: Callable[..., str], clock: Clock
) -> None:
    first, second = new_mrk(AWAY), new_mrk(AWAY)
    keyring = KmsKeyring(kms, write_key=first, clock=clock)
    blobs = [wrapped(client, key) for key in (first, second)]
    kms.down = {HOME}
    keyring.unwrap(blobs[0])
    kms.asked_since()
    wider = keyring.trusting(second)
    assert wider.unwrap(blobs[1], named=second).wrapped_by.key_arn == replica(second)
    assert kms.asked_since() == [AWAY]


def test_with_every_region_down_each_is_tried_and_the_own_one_is_named(
    client: Any, aws: EndpointControl, new_mrk: Callable[..., str], clock: Clock
) -> None:
    kms = Outage(AWAY, HOME, FAR)
    key = new_mrk(AWAY, FAR)
    keyring = KmsKeyring(kms, write_key=key, clock=clock)
    blob = wrapped(client, key)
    kms.down = {HOME, AWAY, FAR}
    for _ in range(2):
        with pytest.raises(KmsUnreachableError) as caught:
            keyring.unwrap(blob)
        assert kms.asked_since() == [HOME, AWAY, FAR]
        assert caught.value.key == key


def test_many_threads_find_the_region_that_answers(
    kms: Outage, client: Any, new_mrk: Callable[..., str]
) -> None:
    key = new_mrk(AWAY)
    keyring = KmsKeyring(kms, write_key=key)
    blob = wrapped(client, key)
    kms.down = {HOME}
    begin = threading.Barrier(8)

    def unwrap(_: int) -> str:
        begin.wait()
        return keyring.unwrap(blob).wrapped_by.key_arn

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(unwrap, range(8))) == {replica(key)}
    kms.asked_since()
    keyring.unwrap(blob)
    assert kms.asked_since() == [AWAY]


# The order alone


def test_the_ways_to_a_key_begin_with_its_own_region() -> None:
    routes = Routes(KmsApi([AWAY, HOME, FAR]))
    arn = f"arn:aws:kms:{HOME}:{ACCOUNT}:key/mrk-{'0' * 32}"
    assert routes.to(arn) == [(HOME, arn), (AWAY, replica(arn)), (FAR, replica(arn, FAR))]
    single = arn.replace("mrk-", "")
    assert routes.to(single) == [(HOME, single)]
    # A bare name is one of the default Region; a multi-Region key's id is its id everywhere.
    bare = arn.rpartition("/")[2]
    assert routes.to(bare) == [(None, bare), (HOME, bare), (FAR, bare)]
    assert routes.to(bare, replica(arn)) == [(None, bare), (HOME, arn), (FAR, replica(arn, FAR))]
    assert routes.to("alias/tokens") == [(None, "alias/tokens")]
    assert routes.to("alias/tokens", replica(arn)) == [
        (None, "alias/tokens"),
        (HOME, arn),
        (FAR, replica(arn, FAR)),
    ]


def test_a_key_arn_needs_no_configured_region(monkeypatch: pytest.MonkeyPatch, aws: EndpointControl) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    arn = f"arn:aws:kms:{HOME}:{ACCOUNT}:key/mrk-{'0' * 32}"
    assert Routes(KmsApi()).to(arn) == [(HOME, arn)]


def test_only_a_region_that_does_not_answer_is_down(kms: Outage, clock: Clock) -> None:
    routes = Routes(kms, clock)
    with pytest.raises(KmsError):
        routes.call("DescribeKey", HOME, KeyId="alias/nobody-made-this")
    assert routes.regions() == [HOME, AWAY]
    kms.down = {HOME}
    with pytest.raises(KmsUnreachableError):
        routes.call("DescribeKey", None, KeyId="alias/nobody-made-this")
    assert routes.regions() == [AWAY, HOME]
    assert routes.regions(first=HOME) == [AWAY, HOME]
    kms.down = set()
    routes.call("ListKeys", None)
    assert routes.regions() == [HOME, AWAY]
    kms.down = {HOME}
    with pytest.raises(KmsUnreachableError):
        routes.call("ListKeys", HOME)
    assert routes.regions() == [AWAY, HOME]
    clock.now += DOWN_SECONDS
    assert routes.regions() == [HOME, AWAY]
    assert routes.regions(first=AWAY) == [AWAY, HOME]

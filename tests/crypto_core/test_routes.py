"""A multi-Region key's replicas open what its own Region can't be asked about; no other question travels."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast
from uuid import uuid4

import pytest

from console.sandbox.endpoint import ACCOUNT, Denial, EndpointControl
from crypto_core.cipher import TokenCipher
from crypto_core.data_key_cache import DataKeyCache
from crypto_core.errors import (
    IncorrectKeyError,
    InvalidCiphertextError,
    KeyDisabledError,
    KeyNotFoundError,
    KmsAccessDeniedError,
    KmsError,
    KmsThrottledError,
    KmsUnreachableError,
    UntrustedKeyError,
)
from crypto_core.keyring import KmsKeyring
from crypto_core.kms import KmsApi
from crypto_core.routes import DOWN_SECONDS, Routes
from crypto_core.secret import exposed
from tests.crypto_core.damaging import damaged

HOME, AWAY, FAR = "eu-west-1", "us-east-1", "ap-southeast-2"
TOKEN = "ghp_abcdefghijklmnopqrstuvwxyz0123456789"


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 5_000.0

    def __call__(self) -> float:
        return self.now


class Outage(KmsApi):
    """KMS of several Regions, some of which do not answer. Notes whom it was asked about where."""

    def __init__(self, *regions: str) -> None:
        super().__init__(regions or [HOME, AWAY], attempts=1)
        self.down: set[str] = set()
        self.asked: list[tuple[str, str]] = []
        # Nothing listens there, so what a down Region answers with is a real client's real failure.
        self._nowhere = KmsApi(regions or [HOME, AWAY], attempts=1, endpoint_url="http://127.0.0.1:9")

    def call(self, operation: str, *, region: str | None = None, **parameters: Any) -> dict[str, Any]:
        where = region or self.regions[0]
        self.asked.append((operation, where))
        if where in self.down:
            return self._nowhere.call(operation, region=where, **parameters)
        return super().call(operation, region=region, **parameters)

    def asked_since(self) -> list[str]:
        """The Regions that were asked since this was last called."""
        regions = [region for _, region in self.asked]
        self.asked.clear()
        return regions


@pytest.fixture
def kms(aws: EndpointControl) -> Outage:
    return Outage()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def new_mrk(client: Any) -> Callable[..., str]:
    """Make a multi-Region key in the home Region with replicas; returns the primary's ARN."""

    def create(*replicas: str) -> str:
        primary = str(client.create_key(MultiRegion=True)["KeyMetadata"]["Arn"])
        for region in replicas:
            client.replicate_key(KeyId=primary, ReplicaRegion=region)
        return primary

    return create


@pytest.fixture
def alias(client: Any) -> Iterator[Callable[[str], str]]:
    """Make an alias in the home Region; returns its name."""
    made: list[str] = []

    def create(key: str) -> str:
        made.append(f"alias/test-{uuid4().hex[:12]}")
        client.create_alias(AliasName=made[-1], TargetKeyId=key)
        return made[-1]

    yield create
    for name in made:
        client.delete_alias(AliasName=name)


def wrapped(client: Any, key: str) -> bytes:
    return cast(bytes, client.generate_data_key(KeyId=key, KeySpec="AES_256")["CiphertextBlob"])


def replica(primary: str, region: str = AWAY) -> str:
    return primary.replace(HOME, region)


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


# A Region that is down is asked last for a while


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


# What a replica's Region says does not stand for the key


def test_a_region_without_a_replica_does_not_hide_that_the_own_region_is_unreachable(
    kms: Outage, client: Any, new_mrk: Callable[..., str]
) -> None:
    key = new_mrk()
    keyring = KmsKeyring(kms, write_key=key)
    blob = wrapped(client, key)
    kms.down = {HOME}
    for expected in ([HOME, AWAY], [AWAY, HOME]):
        with pytest.raises(KmsUnreachableError):
            keyring.unwrap(blob)
        assert kms.asked_since() == expected


def test_the_own_region_alone_says_that_a_key_is_not_there(kms: Outage) -> None:
    nobodys = f"arn:aws:kms:{HOME}:{ACCOUNT}:key/mrk-{'0' * 32}"
    with pytest.raises(KeyNotFoundError):
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
    with pytest.raises(KmsUnreachableError) as caught:
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
    with pytest.raises(IncorrectKeyError):
        keyring.unwrap(others)
    with pytest.raises(InvalidCiphertextError):
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
    with pytest.raises(UntrustedKeyError, match="999999999999"):
        KmsKeyring(kms, write_key=key).unwrap(blob)
    # Nor is an envelope believed that names it.
    kms.asked_since()
    with pytest.raises(UntrustedKeyError):
        KmsKeyring(kms, write_key=key).unwrap(blob, named=key.replace(ACCOUNT, "999999999999"))
    assert kms.asked_since() == []


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
    assert kms.asked_since() == [HOME, AWAY]
    assert keyring.attribute(blob).key_arn == replica(key)
    assert kms.asked_since() == [AWAY]
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
    assert kms.asked_since() == [AWAY, HOME]
    # One that isn't configured is not asked: an envelope's claim doesn't choose whom Keydeck calls.
    assert keyring.attribute(blob, named=replica(key, FAR)).key_arn == key
    assert kms.asked_since() == [HOME]


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


# Other trusted keys


@pytest.fixture
def away_key(kms: Outage) -> str:
    """A single-Region key of the Region that is not the home."""
    return str(kms.call("CreateKey", region=AWAY)["KeyMetadata"]["Arn"])


def test_a_region_that_does_not_answer_does_not_hide_a_trusted_key_elsewhere(
    kms: Outage, client: Any, new_key: Callable[[], str], away_key: str
) -> None:
    blob = kms.call("GenerateDataKey", region=AWAY, KeyId=away_key, KeySpec="AES_256")["CiphertextBlob"]
    keyring = KmsKeyring(kms, write_key=new_key(), trusted=[new_key(), away_key])
    kms.asked.clear()
    kms.down = {HOME}
    assert keyring.unwrap(blob).wrapped_by.key_arn == away_key
    assert kms.asked_since() == [HOME, AWAY], "the second key of a silent Region is not waited for"
    assert keyring.unwrap(blob).wrapped_by.key_arn == away_key
    assert kms.asked_since() == [AWAY]


def test_where_no_trusted_key_opens_it_the_silent_region_is_the_reason(
    kms: Outage, client: Any, new_key: Callable[[], str], away_key: str
) -> None:
    key = new_key()
    blob = wrapped(client, key)
    keyring = KmsKeyring(kms, write_key=key, trusted=[away_key])
    kms.down = {HOME}
    for _ in range(2):
        with pytest.raises(KmsUnreachableError) as caught:
            keyring.unwrap(blob)
        assert caught.value.key == key
        with pytest.raises(KmsUnreachableError):
            keyring.rewrap(blob, key)
    kms.down = set()
    assert keyring.unwrap(blob).wrapped_by.key_arn == key


def test_other_tokens_do_not_wait_for_a_region_that_was_silent_a_moment_ago(
    kms: Outage, client: Any, new_key: Callable[[], str], away_key: str
) -> None:
    blobs = [
        kms.call("GenerateDataKey", region=AWAY, KeyId=key, KeySpec="AES_256")["CiphertextBlob"]
        for key in (away_key, away_key)
    ]
    keyring = KmsKeyring(kms, write_key=new_key(), trusted=[away_key])
    kms.down = {HOME}
    keyring.unwrap(blobs[0])
    keyring._likely.clear()
    kms.asked.clear()
    keyring.unwrap(blobs[1])
    assert kms.asked_since() == [AWAY]


def test_a_rewrap_goes_past_a_silent_region_to_the_key_that_wrapped_it(
    kms: Outage, new_key: Callable[[], str], away_key: str
) -> None:
    target = str(kms.call("CreateKey", region=AWAY)["KeyMetadata"]["Arn"])
    blob = kms.call("GenerateDataKey", region=AWAY, KeyId=away_key, KeySpec="AES_256")["CiphertextBlob"]
    keyring = KmsKeyring(kms, write_key=new_key(), trusted=[away_key])
    kms.asked.clear()
    kms.down = {HOME}
    # A bare id does not say in which Region it is.
    name = target.rpartition("/")[2]
    rewrapped = keyring.rewrap(blob, name)
    assert (rewrapped.source.key_arn, rewrapped.destination.key_arn) == (away_key, target)
    assert kms.asked_since() == [HOME, AWAY]


def test_the_key_that_an_envelope_names_is_the_only_one_asked_though_it_is_silent(
    kms: Outage, client: Any, new_key: Callable[[], str], away_key: str
) -> None:
    key = new_key()
    keyring = KmsKeyring(kms, write_key=key, trusted=[away_key])
    blob = wrapped(client, key)
    kms.asked.clear()
    kms.down = {HOME}
    with pytest.raises(KmsUnreachableError):
        keyring.unwrap(blob, named=key)
    assert kms.asked_since() == [HOME]


def test_past_a_silent_region_an_untrusted_key_still_does_not_open_anything(
    kms: Outage, client: Any, new_key: Callable[[], str], away_key: str
) -> None:
    foreign = str(kms.call("CreateKey", region=AWAY)["KeyMetadata"]["Arn"])
    blob = kms.call("GenerateDataKey", region=AWAY, KeyId=foreign, KeySpec="AES_256")["CiphertextBlob"]
    keyring = KmsKeyring(kms, write_key=new_key(), trusted=[away_key])
    kms.down = {HOME}
    with pytest.raises(KmsUnreachableError):
        keyring.unwrap(blob)
    kms.down = set()
    with pytest.raises(IncorrectKeyError):
        keyring.unwrap(blob)


@pytest.mark.parametrize("bare", [False, True])
def test_a_multi_region_key_is_asked_about_elsewhere_after_another_key_was_silent(
    kms: Outage, client: Any, new_key: Callable[[], str], new_mrk: Callable[..., str], bare: bool
) -> None:
    key = new_mrk(AWAY)
    keyring = KmsKeyring(kms, write_key=new_key(), trusted=[key.rpartition("/")[2] if bare else key])
    blob = wrapped(client, key)
    kms.down = {HOME}
    assert keyring.unwrap(blob).wrapped_by.key_arn == replica(key)

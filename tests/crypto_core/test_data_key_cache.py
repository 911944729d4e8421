"""The data-key cache: off unless asked for, bounded three ways, and emptied when KMS refuses a key."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from math import inf, nan
from typing import Any, cast

import pytest

from console.sandbox.endpoint import ACCOUNT, Denial, EndpointControl, Fault
from crypto_core.data_key_cache import CacheLimits, DataKeyCache
from crypto_core.errors import (
    IncorrectKeyError,
    InvalidCiphertextError,
    KeyDisabledError,
    KeyNotFoundError,
    KeyStateError,
    KmsAccessDeniedError,
    KmsError,
    KmsThrottledError,
    KmsUnreachableError,
    SettingsError,
    UntrustedKeyError,
)
from crypto_core.keyring import KmsKeyring
from crypto_core.kms import KmsApi
from crypto_core.observation import Silent
from crypto_core.secret import DataKey, exposed
from tests.crypto_core.damaging import damaged

REGION = "eu-west-1"
ELSEWHERE = "us-east-1"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/00000000-0000-4000-8000-000000000000"
OTHER = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/00000000-0000-4000-8000-000000000001"
REPLICATED = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/mrk-{'0' * 32}"
ROW = {"keydeck:table": "gh_connection", "keydeck:column": "access_token", "keydeck:id": "gh-42"}
ANOTHER_ROW = ROW | {"keydeck:id": "gh-43"}


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Counting(Silent):
    """Notes what the cache tells."""

    def __init__(self) -> None:
        self.hits: list[bool] = []

    def cache(self, *, hit: bool) -> None:
        self.hits.append(hit)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def kms(aws: EndpointControl) -> KmsApi:
    return KmsApi([REGION], attempts=1)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> list[DataKey]:
    """Every DataKey that a cache makes from now on: those it holds and those it gives out."""
    made: list[DataKey] = []

    class Noted(DataKey):
        __slots__ = ()

        def __init__(self, content: Any) -> None:
            super().__init__(content)
            made.append(self)

    monkeypatch.setattr("crypto_core.data_key_cache.DataKey", Noted)
    return made


def is_wiped(data_key: DataKey) -> bool:
    try:
        return bytes(exposed(data_key)) == bytes(len(data_key))
    except ValueError:
        return True


def a_data_key(fill: int = 7) -> DataKey:
    return DataKey(bytes([fill]) * 32)


def keep(cache: DataKeyCache, edk: bytes, key: str = KEY, context: dict[str, str] | None = None) -> None:
    with a_data_key() as data_key:
        cache.keep(edk, key, context or {}, data_key, "material", purges=cache.purges)


def holds(cache: DataKeyCache, edk: bytes, key: str = KEY, context: dict[str, str] | None = None) -> bool:
    taken = cache.take(edk, key, context or {})
    if taken is not None:
        taken[0].wipe()
    return taken is not None


def wrapped(client: Any, key: str, context: dict[str, str] | None = None) -> bytes:
    made = client.generate_data_key(KeyId=key, KeySpec="AES_256", EncryptionContext=context or {})
    return cast(bytes, made["CiphertextBlob"])


# Limits


def test_an_entry_ends_by_age(clock: Clock, held: list[DataKey]) -> None:
    cache = DataKeyCache(CacheLimits(max_age=60), clock=clock)
    keep(cache, b"edk")
    clock.now += 59.9
    assert holds(cache, b"edk")
    clock.now += 0.1
    assert not holds(cache, b"edk")
    assert len(cache) == 0
    assert is_wiped(held[0])


def test_use_does_not_make_an_entry_younger(clock: Clock) -> None:
    cache = DataKeyCache(CacheLimits(max_age=60), clock=clock)
    keep(cache, b"edk")
    for _ in range(5):
        clock.now += 11
        assert holds(cache, b"edk")
    clock.now += 11
    assert not holds(cache, b"edk")


def test_what_is_too_old_is_wiped_when_the_cache_is_used_next_whatever_is_asked(
    clock: Clock, held: list[DataKey]
) -> None:
    cache = DataKeyCache(CacheLimits(max_age=60), clock=clock)
    keep(cache, b"first")
    clock.now += 30
    keep(cache, b"second")
    clock.now += 30
    assert not holds(cache, b"third")
    assert [is_wiped(data_key) for data_key in held] == [True, False]
    clock.now += 30
    keep(cache, b"fourth")
    assert is_wiped(held[1])
    assert len(cache) == 1


def test_an_entry_ends_by_uses(held: list[DataKey]) -> None:
    cache = DataKeyCache(CacheLimits(max_uses=3))
    keep(cache, b"edk")
    assert [holds(cache, b"edk") for _ in range(4)] == [True, True, True, False]
    assert len(cache) == 0
    assert is_wiped(held[0])


def test_where_there_is_no_room_the_oldest_goes_and_is_wiped(held: list[DataKey]) -> None:
    cache = DataKeyCache(CacheLimits(max_entries=2))
    for edk in (b"first", b"second", b"third"):
        keep(cache, edk)
    assert len(cache) == 2
    assert [is_wiped(data_key) for data_key in held] == [True, False, False]
    assert [holds(cache, edk) for edk in (b"first", b"second", b"third")] == [False, True, True]


def test_keeping_the_same_again_replaces_it_with_full_age_and_uses(clock: Clock, held: list[DataKey]) -> None:
    cache = DataKeyCache(CacheLimits(max_age=60, max_uses=1, max_entries=3), clock=clock)
    keep(cache, b"edk")
    keep(cache, b"other")
    clock.now += 30
    keep(cache, b"edk")
    assert is_wiped(held[0])
    assert len(cache) == 2
    # It is the youngest now, so what has no room later is the other.
    keep(cache, b"third")
    keep(cache, b"fourth")
    assert not holds(cache, b"other")
    clock.now += 59
    assert holds(cache, b"edk")
    assert not holds(cache, b"edk")


@pytest.mark.parametrize(
    "limits",
    [
        {"max_age": 0},
        {"max_age": -1},
        {"max_age": inf},
        {"max_age": nan},
        {"max_uses": 0},
        {"max_uses": inf},
        {"max_entries": 0},
        {"max_entries": inf},
    ],
)
def test_a_cache_without_a_bound_is_refused(limits: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="data-key cache"):
        CacheLimits(**limits)


def test_the_default_is_a_minute_a_hundred_uses_and_a_thousand_entries() -> None:
    assert CacheLimits() == CacheLimits(max_age=60, max_uses=100, max_entries=1_000)


# What is held


def test_a_hit_needs_the_encrypted_data_key_the_key_and_the_context() -> None:
    cache = DataKeyCache()
    keep(cache, b"edk", KEY, ROW)
    assert holds(cache, b"edk", KEY, ROW)
    assert holds(cache, b"edk", KEY, dict(reversed(ROW.items())))
    for edk, key, context in (
        (b"edK", KEY, ROW),
        (b"edk", OTHER, ROW),
        (b"edk", KEY, ANOTHER_ROW),
        (b"edk", KEY, {}),
    ):
        assert not holds(cache, edk, key, context)


def test_contexts_that_only_look_alike_are_told_apart() -> None:
    cache = DataKeyCache()
    keep(cache, b"edk", KEY, {"a": "bc"})
    assert not holds(cache, b"edk", KEY, {"ab": "c"})


def test_what_is_given_out_what_is_held_and_what_was_kept_are_three_buffers(held: list[DataKey]) -> None:
    cache = DataKeyCache()
    kept = a_data_key()
    cache.keep(b"edk", KEY, {}, kept, "material", purges=0)
    kept.wipe()
    first, second = (cache.take(b"edk", KEY, {}) for _ in range(2))
    assert first is not None
    assert second is not None
    plaintext = bytes([7]) * 32
    assert (bytes(exposed(first[0])), first[1]) == (plaintext, "material")
    first[0].wipe()
    assert exposed(second[0]) == plaintext
    cache.purge()
    assert is_wiped(held[0])
    assert exposed(second[0]) == plaintext


def test_the_cache_shows_nothing(held: list[DataKey]) -> None:
    cache = DataKeyCache()
    with DataKey(b"sixteen letters, sixteen letters") as data_key:
        cache.keep(b"encrypted", KEY, ROW, data_key, None, purges=0)
    shown = f"{cache!r} {cache} {list(cache._entries.values())!r}"
    assert "letters" not in shown
    assert KEY not in repr(cache)
    assert "gh-42" not in repr(cache)


def test_a_purge_is_of_one_key_and_its_replicas(held: list[DataKey]) -> None:
    cache = DataKeyCache()
    replica = REPLICATED.replace(REGION, ELSEWHERE)
    for edk, key in ((b"1", KEY), (b"2", OTHER), (b"3", REPLICATED), (b"4", replica)):
        keep(cache, edk, key)
    cache.purge(KEY)
    assert [is_wiped(data_key) for data_key in held] == [True, False, False, False]
    cache.purge(replica)
    assert [is_wiped(data_key) for data_key in held] == [True, False, True, True]
    cache.purge()
    assert [is_wiped(data_key) for data_key in held] == [True] * 4
    assert len(cache) == 0


def test_an_answer_from_before_a_purge_is_not_kept() -> None:
    cache = DataKeyCache()
    asked_at = cache.purges
    cache.purge(OTHER)
    with a_data_key() as data_key:
        cache.keep(b"edk", KEY, {}, data_key, None, purges=asked_at)
        assert len(cache) == 0
        cache.keep(b"edk", KEY, {}, data_key, None, purges=cache.purges)
    assert len(cache) == 1


def test_many_threads_get_whole_data_keys_and_the_limits_hold() -> None:
    cache = DataKeyCache(CacheLimits(max_entries=8, max_uses=3))
    wrong: list[str] = []
    begin = threading.Barrier(8)

    def work(thread: int) -> None:
        begin.wait()
        for turn in range(400):
            number = (thread * 7 + turn) % 16
            edk = bytes([number])
            taken = cache.take(edk, KEY, {})
            if taken is None:
                with a_data_key(number + 1) as data_key:
                    cache.keep(edk, KEY, {}, data_key, None, purges=cache.purges)
            else:
                if bytes(exposed(taken[0])) != bytes([number + 1]) * 32:
                    wrong.append("another data key")
                taken[0].wipe()
            if len(cache) > 8:
                wrong.append("too many entries")
            if turn % 50 == 49:
                cache.purge(KEY)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert wrong == []


def test_an_entry_is_used_as_often_as_it_may_be_however_many_threads_ask() -> None:
    cache = DataKeyCache(CacheLimits(max_uses=100))
    keep(cache, b"edk")
    with ThreadPoolExecutor(16) as pool:
        taken = list(pool.map(lambda _: holds(cache, b"edk"), range(400)))
    assert sum(taken) == 100


# In the keyring


def test_without_a_cache_every_unwrap_is_a_call(kms: KmsApi, client: Any, new_key: Callable[[], str]) -> None:
    observer = Counting()
    key = new_key()
    keyring = KmsKeyring(kms, write_key=key, observer=observer)
    blob = wrapped(client, key)
    for _ in range(3):
        keyring.unwrap(blob)
    assert kms.calls == 3
    assert observer.hits == []


def test_with_a_cache_one_call_serves_until_the_entry_ends(
    kms: KmsApi, client: Any, new_key: Callable[[], str], clock: Clock
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


def test_a_wiped_answer_leaves_the_held_data_key_whole(
    kms: KmsApi, client: Any, new_key: Callable[[], str]
) -> None:
    key = new_key()
    keyring = KmsKeyring(kms, write_key=key, cache=DataKeyCache())
    blob = wrapped(client, key)
    plaintext = client.decrypt(CiphertextBlob=blob)["Plaintext"]
    for _ in range(3):
        with keyring.unwrap(blob).data_key as data_key:
            assert exposed(data_key) == plaintext
    assert kms.calls == 1


def test_the_context_of_another_row_is_not_served(
    kms: KmsApi, client: Any, new_key: Callable[[], str]
) -> None:
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
    kms: KmsApi, client: Any, new_key: Callable[[], str]
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


def test_a_key_that_is_not_trusted_any_more_is_not_served(
    kms: KmsApi, client: Any, new_key: Callable[[], str]
) -> None:
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


def test_a_keyring_that_trusts_more_shares_the_cache(
    kms: KmsApi, client: Any, new_key: Callable[[], str]
) -> None:
    key = new_key()
    keyring = KmsKeyring(kms, write_key=key, cache=DataKeyCache())
    blob = wrapped(client, key)
    keyring.unwrap(blob)
    keyring.trusting(new_key()).unwrap(blob)
    assert kms.calls == 1


def test_asking_one_key_only_goes_past_the_cache(
    kms: KmsApi, client: Any, new_key: Callable[[], str]
) -> None:
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


def test_attribution_and_rewrap_go_past_the_cache(
    kms: KmsApi, client: Any, new_key: Callable[[], str]
) -> None:
    key = new_key()
    keyring = KmsKeyring(kms, write_key=key, cache=DataKeyCache())
    blob = wrapped(client, key)
    keyring.unwrap(blob)
    keyring.attribute(blob)
    keyring.rewrap(blob, key)
    assert kms.calls == 3


def test_what_kms_did_not_open_or_opened_with_the_wrong_key_is_not_held(
    kms: KmsApi, client: Any, new_key: Callable[[], str]
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
    new_key: Callable[[], str],
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
    kms: KmsApi, client: Any, new_key: Callable[[], str]
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
    aws: EndpointControl, kms: KmsApi, client: Any, new_key: Callable[[], str]
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
    aws: EndpointControl, client: Any, new_key: Callable[[], str]
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
    kms: KmsApi, client: Any, new_key: Callable[[], str]
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

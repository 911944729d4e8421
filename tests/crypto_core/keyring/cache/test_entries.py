"""Data-key cache: what makes a hit, what is held and shown, and many threads."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from crypto_core.keyring.data_keys import CacheLimits, DataKeyCache
from crypto_core.values.secret import DataKey, exposed
from tests.crypto_core.keyring.cache.scene import (
    ANOTHER_ROW,
    KEY,
    OTHER,
    REPLICATED,
    ROW,
    a_data_key,
    holds,
    is_wiped,
    keep,
)
from tests.crypto_core.keyring.scene import ELSEWHERE, REGION


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

"""Data-key cache: bounded by age, uses and entries."""

from __future__ import annotations

from math import inf, nan
from typing import Any

import pytest

from crypto_core.keyring.data_keys import CacheLimits, DataKeyCache
from crypto_core.values.errors import SettingsError
from crypto_core.values.secret import DataKey
from tests.clock import Clock
from tests.crypto_core.keyring.cache.scene import holds, is_wiped, keep


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

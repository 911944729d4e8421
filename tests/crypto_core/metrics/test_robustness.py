"""Metrics: counting never gets in the way, whatever it is given and however many threads count."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from crypto_core.envelope import Format
from crypto_core.keyring.cipher import TokenCipher
from crypto_core.metrics import Metrics
from tests.crypto_core.metrics.samples import AT, TOKEN, read, value


@pytest.mark.parametrize(
    "tell",
    [
        lambda m: m.operation(None, None, None),
        lambda m: m.operation(["decrypt"], {}, object()),
        lambda m: m.kms_call("Decrypt", None, ""),
        lambda m: m.kms_call("Decrypt", float("nan"), ""),
        lambda m: m.kms_call("Decrypt", -1.0, ""),
        lambda m: m.kms_call([], "soon", b"x"),
        lambda m: m.census(None, AT, complete=True),
        lambda m: m.census({Format.V1: "many"}, AT, complete=True),
        lambda m: m.census({Format.V1: float("nan")}, AT, complete=True),
        lambda m: m.census({Format.V1: 1}, None, complete=True),
    ],
    ids=range(10),
)
def test_nonsense_does_not_raise_and_spoils_nothing(metrics: Metrics, tell: Callable[[Any], None]) -> None:
    metrics.kms_call("Decrypt", 0.5, "")
    metrics.census({Format.V1: 5}, AT, complete=True)
    tell(metrics)
    metrics.kms_call("Decrypt", 0.5, "")
    assert value(metrics, "keydeck_kms_request_seconds_sum", operation="Decrypt") == 1.0
    assert value(metrics, "keydeck_tokens", format="v1") == 5
    assert value(metrics, "keydeck_census_timestamp_seconds") == AT.timestamp()


@pytest.mark.deep
def test_a_count_that_fails_leaves_the_operation_alone_and_is_logged_once(
    cipher: TokenCipher, metrics: Metrics, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: Any) -> Any:
        raise OSError(28, TOKEN)

    for counter in ("_operations", "_kms_seconds", "_cache_requests"):
        monkeypatch.setattr(getattr(metrics, counter), "labels", full)
    with caplog.at_level(logging.DEBUG, logger="crypto_core"):
        for _ in range(3):
            assert cipher.decrypt(cipher.encrypt(TOKEN).stored).reveal() == TOKEN
        metrics.cache(hit=True)
    told = [r.getMessage() for r in caplog.records if r.name == "crypto_core.metrics"]
    assert told == ["Metrics are incomplete: OSError while counting."]


def test_threads_lose_no_count_and_scrapes_see_whole_censuses(metrics: Metrics) -> None:
    threads, rounds = 8, 400

    def work(number: int) -> list[tuple[float, float]]:
        seen = []
        for i in range(rounds):
            metrics.operation("decrypt", "v1", "KmsError" if i % 2 else "")
            metrics.kms_call("Decrypt", 0.5, "")
            metrics.cache(hit=bool(i % 4))
            tokens = number * rounds + i
            metrics.census({Format.V1: tokens, Format.DEV: tokens}, AT, complete=True)
            if not i % 40:
                samples = read(metrics.exposition())
                v1, dev = (
                    samples["keydeck_tokens", frozenset({("format", f.value)})]
                    for f in (Format.V1, Format.DEV)
                )
                seen.append((v1, dev))
        return seen

    with ThreadPoolExecutor(threads) as pool:
        seen = [pair for result in pool.map(work, range(threads)) for pair in result]
    total = threads * rounds
    assert value(metrics, "keydeck_operations_total", operation="decrypt", format="v1") == total
    assert value(metrics, "keydeck_failures_total", operation="decrypt", kind="KmsError") == total / 2
    assert value(metrics, "keydeck_kms_request_seconds_count", operation="Decrypt") == total
    assert value(metrics, "keydeck_kms_request_seconds_sum", operation="Decrypt") == total / 2
    assert value(metrics, "keydeck_data_key_cache_requests_total", result="miss") == total / 4
    assert seen
    assert all(v1 == dev for v1, dev in seen)

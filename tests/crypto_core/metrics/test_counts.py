"""Metrics: what is counted of operations, calls of KMS, failures, the cache and the census."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from console.sandbox.endpoint import Denial, EndpointControl, Fault
from crypto_core.aws.kms import KmsApi
from crypto_core.envelope import Format
from crypto_core.keyring.cipher import TokenCipher
from crypto_core.keyring.data_keys import DataKeyCache
from crypto_core.keyring.kms_keyring import KmsKeyring
from crypto_core.log.observation import UNEXPECTED
from crypto_core.metrics import UNKNOWN, Metrics
from crypto_core.values import errors
from tests.crypto_core.metrics.samples import AT, REF, TOKEN, labels_of, those_above_zero, value

# Operations and calls of KMS


def test_every_operation_on_a_token_is_counted_with_its_format(
    cipher: TokenCipher, metrics: Metrics, key: str
) -> None:
    stored = cipher.encrypt(TOKEN).stored
    cipher.decrypt(stored)
    cipher.decrypt(stored)
    cipher.rewrap(stored, key)
    cipher.reencrypt(stored)
    assert those_above_zero(metrics, "keydeck_operations_total") == {
        ("v1", "encrypt"): 1,
        ("v1", "decrypt"): 2,
        ("v1", "rewrap"): 1,
        ("v1", "reencrypt"): 1,
    }
    assert those_above_zero(metrics, "keydeck_failures_total") == {}


def test_v2_envelopes_are_counted_as_such(observed: KmsApi, metrics: Metrics, key: str) -> None:
    keyring = KmsKeyring(observed, write_key=key, observer=metrics)
    cipher = TokenCipher(keyring, write_format=Format.V2, observer=metrics)
    cipher.decrypt(cipher.encrypt(TOKEN, ref=REF).stored, ref=REF)
    assert those_above_zero(metrics, "keydeck_operations_total") == {
        ("v2", "encrypt"): 1,
        ("v2", "decrypt"): 1,
    }


def test_every_call_of_kms_is_timed_under_its_operation(
    cipher: TokenCipher, observed: KmsApi, metrics: Metrics, key: str
) -> None:
    stored = cipher.encrypt(TOKEN).stored
    cipher.decrypt(stored)
    cipher.rewrap(stored, key)
    counted = those_above_zero(metrics, "keydeck_kms_request_seconds_count")
    assert counted == {("GenerateDataKey",): 1, ("Decrypt",): 3, ("ReEncrypt",): 1}
    assert sum(counted.values()) == observed.calls
    assert those_above_zero(metrics, "keydeck_kms_failures_total") == {}


def test_latency_falls_into_buckets_between_a_millisecond_and_ten_seconds(
    aws: EndpointControl, observed: KmsApi, metrics: Metrics
) -> None:
    observed.call("ListKeys")
    before = value(metrics, "keydeck_kms_request_seconds_sum", operation="ListKeys")
    aws.set_latency(120)
    observed.call("ListKeys")
    bucket = "keydeck_kms_request_seconds_bucket"
    assert value(metrics, "keydeck_kms_request_seconds_sum", operation="ListKeys") >= before + 0.12
    assert value(metrics, bucket, operation="ListKeys", le="0.1") <= 1
    assert value(metrics, bucket, operation="ListKeys", le="+Inf") == 2
    bounds = sorted(map(float, labels_of(metrics.exposition())["le"]))
    assert (bounds[0], bounds[-2], bounds[-1]) == (0.001, 10.0, float("inf"))


def test_a_call_that_succeeds_when_tried_again_is_one_call_and_no_failure(
    aws: EndpointControl, metrics: Metrics
) -> None:
    aws.add_fault(Fault("ListKeys", "KMSInternalException", count=1))
    KmsApi(attempts=2, observer=metrics).call("ListKeys")
    assert those_above_zero(metrics, "keydeck_kms_request_seconds_count") == {("ListKeys",): 1}
    assert those_above_zero(metrics, "keydeck_kms_failures_total") == {}


def test_a_dry_run_that_passed_is_no_failure(observed: KmsApi, metrics: Metrics, key: str) -> None:
    with pytest.raises(errors.DryRunPassedError):
        observed.call("GenerateDataKey", KeyId=key, KeySpec="AES_256", DryRun=True)
    assert those_above_zero(metrics, "keydeck_kms_request_seconds_count") == {("GenerateDataKey",): 1}
    assert those_above_zero(metrics, "keydeck_kms_failures_total") == {}


# Failures


def deny(aws: EndpointControl) -> None:
    aws.add_denial(Denial("*", "kms:Decrypt"))


def throttle(aws: EndpointControl) -> None:
    aws.set_throttle(0)


@pytest.mark.parametrize(
    ("refuse", "kind"), [(deny, errors.KmsAccessDeniedError), (throttle, errors.KmsThrottledError)]
)
def test_a_refusal_of_kms_is_counted_as_a_failed_call_and_a_failed_operation(
    aws: EndpointControl,
    cipher: TokenCipher,
    metrics: Metrics,
    refuse: Callable[[EndpointControl], None],
    kind: type[errors.KeydeckError],
) -> None:
    stored = cipher.encrypt(TOKEN).stored
    refuse(aws)
    for _ in range(2):
        with pytest.raises(kind):
            cipher.decrypt(stored)
    name = kind.__name__
    assert those_above_zero(metrics, "keydeck_kms_failures_total") == {(name, "Decrypt"): 2}
    assert those_above_zero(metrics, "keydeck_failures_total") == {(name, "decrypt"): 2}
    assert value(metrics, "keydeck_operations_total", operation="decrypt", format="v1") == 2
    assert value(metrics, "keydeck_kms_request_seconds_count", operation="Decrypt") == 2


def test_a_token_that_opens_under_the_second_trusted_key_is_no_failed_operation(
    observed: KmsApi, metrics: Metrics, new_key: Callable[[], str]
) -> None:
    first, second = new_key(), new_key()
    stored = TokenCipher(KmsKeyring(observed, write_key=second)).encrypt(TOKEN).stored
    both = KmsKeyring(observed, write_key=first, trusted=[second])
    TokenCipher(both, observer=metrics).decrypt(stored)
    assert those_above_zero(metrics, "keydeck_kms_failures_total") == {("IncorrectKeyError", "Decrypt"): 1}
    assert those_above_zero(metrics, "keydeck_failures_total") == {}


def test_a_value_that_is_no_envelope_fails_without_a_format_and_without_kms(
    cipher: TokenCipher, metrics: Metrics
) -> None:
    for stored in ("djF8", TOKEN):
        with pytest.raises(errors.EnvelopeError):
            cipher.decrypt(stored)
    assert those_above_zero(metrics, "keydeck_operations_total") == {(UNKNOWN, "decrypt"): 2}
    assert those_above_zero(metrics, "keydeck_failures_total") == {
        ("MalformedEnvelopeError", "decrypt"): 1,
        ("UnsupportedFormatError", "decrypt"): 1,
    }
    assert those_above_zero(metrics, "keydeck_kms_request_seconds_count") == {}


def test_an_exception_that_is_none_of_ours_is_counted_as_unexpected(metrics: Metrics) -> None:
    class Broken:
        binding = None

        def generate(self, *_: Any, **__: Any) -> Any:
            raise ZeroDivisionError(TOKEN)

    with pytest.raises(ZeroDivisionError):
        TokenCipher(cast(Any, Broken()), observer=metrics).encrypt(TOKEN)
    assert those_above_zero(metrics, "keydeck_failures_total") == {(UNEXPECTED, "encrypt"): 1}


# The data-key cache


def test_questions_to_the_cache_are_counted_as_hits_and_misses(
    observed: KmsApi, metrics: Metrics, key: str
) -> None:
    keyring = KmsKeyring(observed, write_key=key, cache=DataKeyCache(), observer=metrics)
    cipher = TokenCipher(keyring, observer=metrics)
    stored = cipher.encrypt(TOKEN).stored
    for _ in range(4):
        cipher.decrypt(stored)
    assert those_above_zero(metrics, "keydeck_data_key_cache_requests_total") == {("hit",): 3, ("miss",): 1}
    assert value(metrics, "keydeck_kms_request_seconds_count", operation="Decrypt") == 1
    assert value(metrics, "keydeck_operations_total", operation="decrypt", format="v1") == 4


def test_without_a_cache_nobody_asks_it(cipher: TokenCipher, metrics: Metrics) -> None:
    cipher.decrypt(cipher.encrypt(TOKEN).stored)
    assert those_above_zero(metrics, "keydeck_data_key_cache_requests_total") == {}


# The census


def test_a_census_is_shown_with_every_format_its_time_and_whether_it_is_whole(metrics: Metrics) -> None:
    metrics.census({Format.V1: 7, Format.PLAINTEXT: 2}, AT, complete=True)
    shown = {f: value(metrics, "keydeck_tokens", format=f.value) for f in Format}
    assert shown == {f: {Format.V1: 7, Format.PLAINTEXT: 2}.get(f, 0) for f in Format}
    assert labels_of(metrics.exposition())["format"] >= {f.value for f in Format}
    assert value(metrics, "keydeck_census_timestamp_seconds") == AT.timestamp()
    assert value(metrics, "keydeck_census_complete") == 1


def test_the_next_census_replaces_the_one_before(metrics: Metrics) -> None:
    metrics.census({Format.V1: 7, Format.PLAINTEXT: 2}, AT, complete=True)
    metrics.census({Format.V1: 9}, AT.replace(hour=13), complete=False)
    assert those_above_zero(metrics, "keydeck_tokens") == {("v1",): 9}
    assert value(metrics, "keydeck_census_timestamp_seconds") == AT.timestamp() + 3600
    assert value(metrics, "keydeck_census_complete") == 0

"""What is counted, and that nothing foreign can get into what Prometheus reads."""

from __future__ import annotations

import ast
import io
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from wsgiref.util import setup_testing_defaults

import boto3
import pytest
from prometheus_client import REGISTRY, CollectorRegistry, Counter, make_wsgi_app
from prometheus_client.parser import text_string_to_metric_families

from console.sandbox.endpoint import ACCOUNT, Denial, EndpointControl, Fault
from crypto_core.cipher import TokenCipher
from crypto_core.data_key_cache import DataKeyCache
from crypto_core.envelope import Format
from crypto_core.errors import (
    DryRunPassedError,
    EnvelopeError,
    KeydeckError,
    KmsAccessDeniedError,
    KmsThrottledError,
    SettingsError,
)
from crypto_core.keyring import KmsKeyring
from crypto_core.kms import READ_ONLY_OPERATIONS, REHEARSABLE_OPERATIONS, KmsApi
from crypto_core.metrics import KINDS, KMS_OPERATIONS, OPERATIONS, OTHER, UNKNOWN, Metrics
from crypto_core.observation import UNEXPECTED
from crypto_core.references import TokenRef

HOME = Path(__file__).parents[2]
TOKEN = "ghp_CANARYcanaryCANARYcanaryCANARYcanary"
REF = TokenRef("gh_connection", "access_token", "gh-canary-row")
AT = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)

FAMILIES = {
    "keydeck_operations": "counter",
    "keydeck_failures": "counter",
    "keydeck_kms_request_seconds": "histogram",
    "keydeck_kms_failures": "counter",
    "keydeck_data_key_cache_requests": "counter",
    "keydeck_tokens": "gauge",
    "keydeck_census_timestamp_seconds": "gauge",
    "keydeck_census_complete": "gauge",
}


def read(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """The samples of an exposition by name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(metrics: Metrics, name: str, **labels: str) -> float:
    """One sample's value, 0 where it isn't there."""
    return read(metrics.exposition()).get((name, frozenset(labels.items())), 0.0)


def those_above_zero(metrics: Metrics, name: str) -> dict[tuple[str, ...], float]:
    """The samples of one name that have counted something, by their labels' values in the labels' order."""
    return {
        tuple(text for _, text in sorted(labels)): number
        for (found, labels), number in read(metrics.exposition()).items()
        if found == name and number
    }


def labels_of(text: str) -> dict[str, set[str]]:
    """Every value of every label."""
    found: dict[str, set[str]] = {}
    for _, labels in read(text):
        for name, word in labels:
            found.setdefault(name, set()).add(word)
    return found


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def observed(aws: EndpointControl, metrics: Metrics) -> KmsApi:
    """KMS that is asked once, and tells the metrics."""
    return KmsApi(attempts=1, observer=metrics)


@pytest.fixture
def key(new_key: Callable[[], str]) -> str:
    return new_key()


@pytest.fixture
def cipher(observed: KmsApi, metrics: Metrics, key: str) -> TokenCipher:
    return TokenCipher(KmsKeyring(observed, write_key=key, observer=metrics), observer=metrics)


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
    with pytest.raises(DryRunPassedError):
        observed.call("GenerateDataKey", KeyId=key, KeySpec="AES_256", DryRun=True)
    assert those_above_zero(metrics, "keydeck_kms_request_seconds_count") == {("GenerateDataKey",): 1}
    assert those_above_zero(metrics, "keydeck_kms_failures_total") == {}


# Failures


def deny(aws: EndpointControl) -> None:
    aws.add_denial(Denial("*", "kms:Decrypt"))


def throttle(aws: EndpointControl) -> None:
    aws.set_throttle(0)


@pytest.mark.parametrize(("refuse", "kind"), [(deny, KmsAccessDeniedError), (throttle, KmsThrottledError)])
def test_a_refusal_of_kms_is_counted_as_a_failed_call_and_a_failed_operation(
    aws: EndpointControl,
    cipher: TokenCipher,
    metrics: Metrics,
    refuse: Callable[[EndpointControl], None],
    kind: type[KeydeckError],
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
        with pytest.raises(EnvelopeError):
            cipher.decrypt(stored)
    assert those_above_zero(metrics, "keydeck_operations_total") == {(UNKNOWN, "decrypt"): 2}
    assert those_above_zero(metrics, "keydeck_failures_total") == {
        ("MalformedEnvelopeError", "decrypt"): 1,
        ("UnsupportedFormatError", "decrypt"): 1,
    }
    assert those_above_zero(metrics, "keydeck_kms_request_seconds_count") == {}


def test_an_exception_that_is_none_of_ours_is_counted_as_unexpected(metrics: Metrics) -> None:
    class Broken:
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


# What a scrape finds


def test_a_fresh_exposition_has_every_metric_and_every_known_series_at_zero(metrics: Metrics) -> None:
    families = list(text_string_to_metric_families(metrics.exposition()))
    assert {f.name: f.type for f in families} == FAMILIES
    assert all(f.documentation for f in families)
    samples = read(metrics.exposition())
    assert set(samples.values()) == {0.0}
    series = {(name, tuple(sorted(dict(labels).items()))) for name, labels in samples}
    assert {("keydeck_tokens", (("format", f.value),)) for f in Format} <= series
    assert {("keydeck_data_key_cache_requests_total", (("result", r),)) for r in ("hit", "miss")} <= series
    for operation in OPERATIONS:
        for format_ in ("v1", "v2"):
            labels = (("format", format_), ("operation", operation))
            assert ("keydeck_operations_total", labels) in series


def test_the_registry_can_be_mounted(metrics: Metrics) -> None:
    metrics.operation("decrypt", "v1", "")
    environ: dict[str, Any] = {"wsgi.input": io.BytesIO()}
    setup_testing_defaults(environ)
    begun: list[str] = []
    app = make_wsgi_app(metrics.registry)
    body = b"".join(app(environ, lambda status, headers, *_: cast(Any, begun.append(status)))).decode()
    assert begun == ["200 OK"]
    assert body == metrics.exposition()
    assert value(metrics, "keydeck_operations_total", operation="decrypt", format="v1") == 1


def test_metrics_live_in_the_platforms_registry_where_it_gives_one() -> None:
    registry = CollectorRegistry()
    Counter("platform_requests", "The platform's own.", registry=registry).inc()
    metrics = Metrics(registry)
    assert metrics.registry is registry
    metrics.operation("decrypt", "v1", "")
    assert registry.get_sample_value("platform_requests_total") == 1
    labels = {"operation": "decrypt", "format": "v1"}
    assert registry.get_sample_value("keydeck_operations_total", labels) == 1
    assert "platform" not in metrics.exposition()


def test_a_registry_holds_keydecks_metrics_once() -> None:
    metrics = Metrics()
    with pytest.raises(SettingsError, match="already holds"):
        Metrics(metrics.registry)
    metrics.operation("decrypt", "v1", "")
    assert value(metrics, "keydeck_operations_total", operation="decrypt", format="v1") == 1


def test_two_metrics_share_nothing_with_each_other_or_with_the_default_registry() -> None:
    first, second = Metrics(), Metrics()
    untouched = second.exposition()
    first.operation("decrypt", "v1", "KmsError")
    first.kms_call("Decrypt", 0.01, "KmsError")
    first.cache(hit=True)
    first.census({Format.V1: 1}, AT, complete=True)
    assert second.exposition() == untouched
    assert first.exposition() != untouched
    assert not [f for f in REGISTRY.collect() if f.name.startswith("keydeck")]


# Closed sets of labels


HOSTILE = [
    'x"} 1\nkeydeck_tokens{format="v1"} 99',
    "back\\slash\\",
    'quote"',
    "[/red]",
    "\x1b[31m",
    "\u202etxt",
    "\ud800",
    TOKEN,
    f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/00000000-0000-4000-8000-000000000000",
    "gh_connection.access_token:gh-42",
    "somebody@example.org",
    "Decrypt ",
    "decrypt\n",
    "W" * 100_000,
]


@pytest.mark.parametrize("hostile", HOSTILE, ids=range(len(HOSTILE)))
def test_a_word_that_is_in_no_closed_set_is_counted_as_other(metrics: Metrics, hostile: str) -> None:
    before = len(metrics.exposition().splitlines())
    metrics.operation(hostile, hostile, hostile)
    metrics.kms_call(hostile, 0.01, hostile)
    metrics.cache(hit=cast(Any, hostile))
    metrics.census(cast(Any, {hostile: 3, Format.V1: 1}), AT, complete=cast(Any, hostile))
    text = metrics.exposition()
    assert hostile not in text
    assert text.isascii()
    assert text.replace("\n", "").isprintable()
    closed = OPERATIONS | KMS_OPERATIONS | {f.value for f in Format} | KINDS | {OTHER, UNKNOWN, "hit", "miss"}
    labels = labels_of(text)
    assert set(labels) == {"operation", "format", "kind", "le", "result"}
    assert {word for name, words in labels.items() if name != "le" for word in words} <= closed
    assert value(metrics, "keydeck_operations_total", operation=OTHER, format=OTHER) == 1
    assert value(metrics, "keydeck_failures_total", operation=OTHER, kind=OTHER) == 1
    assert value(metrics, "keydeck_kms_request_seconds_count", operation=OTHER) == 1
    assert value(metrics, "keydeck_kms_failures_total", operation=OTHER, kind=OTHER) == 1
    assert value(metrics, "keydeck_tokens", format=OTHER) == 3
    metrics.operation(hostile + "2", hostile + "2", hostile + "2")
    metrics.kms_call(hostile + "2", 0.01, hostile + "2")
    assert len(metrics.exposition().splitlines()) == len(text.splitlines())
    # One series each for the operation, both failures and the format, a histogram, two families' first lines.
    assert len(text.splitlines()) < before + 30


def test_a_word_that_only_claims_to_be_of_the_set_is_not_shown(metrics: Metrics) -> None:
    class Disguised(str):
        def __str__(self) -> str:
            return TOKEN

        __repr__ = __format__ = cast(Any, __str__)

    metrics.operation(Disguised("decrypt"), Disguised("v1"), Disguised("KmsError"))
    metrics.kms_call(Disguised("Decrypt"), 0.01, "")
    assert TOKEN not in metrics.exposition()
    assert value(metrics, "keydeck_operations_total", operation="decrypt", format="v1") == 1


def test_nothing_that_happened_can_be_read_from_the_exposition(
    aws: EndpointControl, observed: KmsApi, metrics: Metrics, new_key: Callable[[], str]
) -> None:
    first, second = new_key(), new_key()
    keyring = KmsKeyring(observed, write_key=first, cache=DataKeyCache(), observer=metrics)
    cipher = TokenCipher(keyring, write_format=Format.V2, observer=metrics)
    stored = [cipher.encrypt(TOKEN, ref=REF).stored, cipher.encrypt(TOKEN, second, ref=REF).stored]
    cipher.decrypt(stored[0], ref=REF)
    for damaged in (stored[1], stored[0][:-8], TOKEN):
        with pytest.raises(KeydeckError):
            cipher.decrypt(damaged, ref=REF)
    aws.add_denial(Denial("*", "kms:*"))
    for name in (first, second, "alias/nobody-made-this"):
        with pytest.raises(KeydeckError):
            cipher.encrypt(TOKEN, name, ref=REF)
    text = metrics.exposition()
    assert len(those_above_zero(metrics, "keydeck_failures_total")) > 2
    assert labels_of(text)["kind"] <= KINDS
    forbidden = [
        TOKEN,
        "CANARY",
        "arn:",
        "alias/",
        ACCOUNT,
        REF.row_id,
        REF.table,
        REF.column,
        *(k.rpartition("/")[2] for k in (first, second)),
        *(s[10:40] for s in stored),
    ]
    assert [word for word in forbidden if word in text] == []


def test_every_kms_operation_that_keydeck_calls_has_a_label_of_its_own(aws: EndpointControl) -> None:
    known = set(boto3.client("kms", region_name="eu-west-1").meta.service_model.operation_names)
    called = {
        argument.value
        for file in (HOME / "crypto_core").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and node.args
        for argument in [node.args[0]]
        if isinstance(argument, ast.Constant) and argument.value in known
    }
    assert called >= {"Decrypt", "DescribeKey", "GenerateDataKey", "ReEncrypt"}
    assert called | READ_ONLY_OPERATIONS | REHEARSABLE_OPERATIONS <= KMS_OPERATIONS <= known


def test_every_error_of_ours_has_a_label_of_its_own() -> None:
    def tree(kind: type[KeydeckError]) -> set[type[KeydeckError]]:
        return {kind}.union(*map(tree, kind.__subclasses__()))

    # EncryptedToken's own error is SQLAlchemy's affair: no operation on a token raises it.
    ours = {k.__name__ for k in tree(KeydeckError) if k.__module__ == KeydeckError.__module__}
    assert ours | {UNEXPECTED} == KINDS


def test_an_error_that_somebody_else_derived_from_ours_is_other(metrics: Metrics) -> None:
    foreign = type(TOKEN, (KeydeckError,), {})
    metrics.operation("decrypt", "v1", foreign.__name__)
    assert those_above_zero(metrics, "keydeck_failures_total") == {(OTHER, "decrypt"): 1}


# Counting never gets in the way


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

"""Prometheus metrics: operations on tokens, calls of KMS, the data-key cache, the last census.

`Metrics` is an Observer. Whoever builds the core hands it to each part, and mounts its registry:

    metrics = Metrics()
    keyring = KmsKeyring(KmsApi(observer=metrics), write_key=…, observer=metrics)
    cipher = TokenCipher(keyring, observer=metrics)
    app = prometheus_client.make_wsgi_app(metrics.registry)

Failures are counted twice where two things failed: keydeck_kms_failures_total counts calls that KMS refused
or didn't answer, keydeck_failures_total the operations that didn't succeed, whatever the reason. With several
trusted keys, a token that opens under the second one leaves an IncorrectKeyError in the former and nothing in
the latter.

Labels come from closed sets. Nothing foreign can get into them: no row, person, organisation or key is named,
and a word that is in no set is counted as "other". (Exposition formats and naming:
https://prometheus.io/docs/instrumenting/exposition_formats/, https://prometheus.io/docs/practices/naming/.)
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from math import inf

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric

from crypto_core.aws.kms import READ_ONLY_OPERATIONS, REHEARSABLE_OPERATIONS
from crypto_core.envelope import ENVELOPE_FORMATS, Format
from crypto_core.guard.operations import VERBS, ChangeKind
from crypto_core.log.observation import UNEXPECTED
from crypto_core.values import errors
from crypto_core.values.errors import KeydeckError, SettingsError

OTHER = "other"

UNKNOWN = "unknown"
"""The format of an operation that failed before its format was known."""

OPERATIONS = frozenset({"decrypt", *(operation.name for operation in VERBS)})

KINDS = frozenset(
    {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, KeydeckError)}
    | {UNEXPECTED}
)

KMS_OPERATIONS = (
    READ_ONLY_OPERATIONS
    | REHEARSABLE_OPERATIONS
    | {call for kind in ChangeKind for call in kind.operation.kms_calls}
    | {"CreateGrant", "UntagResource", "UpdateKeyDescription"}
)
"""KMS's operations on keys and data keys, named as in its API reference."""

KMS_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Upper bounds of the latency buckets: KMS answers in 2 to 20 ms, and is given up after 10 s an attempt."""

_log = logging.getLogger(__name__)


class _Words:
    """A closed set of label values."""

    def __init__(self, words: Iterable[str]) -> None:
        # As plain strings: what is shown is our own word, not the caller's that is equal to it.
        self._words = {str(word): str(word) for word in words}

    def __call__(self, word: object) -> str:
        return self._words.get(word, OTHER) if isinstance(word, str) else OTHER


_operation = _Words(OPERATIONS)
_kms_operation = _Words(KMS_OPERATIONS)
_kind = _Words(KINDS)
_format = _Words(Format)


@dataclass(frozen=True, slots=True)
class _Census:
    """The numbers of one census; replaced as a whole, so that no scrape sees half of one."""

    by_format: Mapping[str, int]
    timestamp: float
    complete: bool


_NO_CENSUS = _Census({}, 0.0, complete=False)


class Metrics:
    """Counts what the core tells it, as an Observer and a prometheus_client collector. Thread-safe.

    None of the methods that are told something raises: what can't be counted is logged, once.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        """`registry` is one of the platform's; without it the metrics have one of their own.

        Raises SettingsError for a registry that already holds metrics of the same names.
        """
        self._complained = False
        self._census = _NO_CENSUS
        self._operations = Counter(
            "keydeck_operations_total",
            "Operations on tokens that ended, with or without success, by envelope format.",
            ["operation", "format"],
            registry=None,
        )
        self._failures = Counter(
            "keydeck_failures_total",
            "Operations on tokens that did not succeed, by kind of failure.",
            ["operation", "kind"],
            registry=None,
        )
        self._kms_seconds = Histogram(
            "keydeck_kms_request_seconds",
            "How long calls of KMS took, retries included.",
            ["operation"],
            buckets=(*KMS_SECONDS, inf),
            registry=None,
        )
        self._kms_failures = Counter(
            "keydeck_kms_failures_total",
            "Calls that KMS refused or did not answer, retries included in the call, by kind of failure.",
            ["operation", "kind"],
            registry=None,
        )
        self._cache_requests = Counter(
            "keydeck_data_key_cache_requests_total",
            "How often the data-key cache was asked, by whether it held the data key.",
            ["result"],
            registry=None,
        )
        for operation in sorted(OPERATIONS):
            for format_ in ENVELOPE_FORMATS:
                self._operations.labels(operation, str(format_))
        for result in ("hit", "miss"):
            self._cache_requests.labels(result)
        self.registry = registry if registry is not None else CollectorRegistry()
        try:
            self.registry.register(self)
        except ValueError as error:
            raise SettingsError(
                "The Prometheus registry already holds Keydeck's metrics.",
                remedy="Make one Metrics for a registry and hand it to every part of the core.",
            ) from error

    def operation(self, name: str, format_: str, failure: str) -> None:
        """Count one token's operation; `failure` is the name of the error's class, "" for success."""
        with self._unfailing():
            self._operations.labels(_operation(name), _format(format_) if format_ else UNKNOWN).inc()
            if failure:
                self._failures.labels(_operation(name), _kind(failure)).inc()

    def kms_call(self, operation: str, seconds: float, failure: str) -> None:
        with self._unfailing():
            if failure:
                self._kms_failures.labels(_kms_operation(operation), _kind(failure)).inc()
            if not 0 <= seconds < inf:  # a NaN would stay in the sum for good
                raise ValueError("no duration")
            self._kms_seconds.labels(_kms_operation(operation)).observe(seconds)

    def cache(self, *, hit: bool) -> None:
        with self._unfailing():
            self._cache_requests.labels("hit" if hit else "miss").inc()

    def census(self, by_format: Mapping[Format, int], taken_at: datetime, *, complete: bool) -> None:
        """Show a census from now on: tokens by format, when it was taken (aware), whether it is whole."""
        with self._unfailing():
            counts: dict[str, int] = {}
            for format_, tokens in by_format.items():
                word = _format(format_)
                counts[word] = counts.get(word, 0) + int(tokens)
            self._census = _Census(counts, taken_at.timestamp(), complete=bool(complete))

    def exposition(self) -> str:
        """Return Keydeck's metrics, and no others of the registry, in Prometheus's text format."""
        return generate_latest(self).decode()

    def collect(self) -> Iterator[Metric]:
        """Yield every metric with its samples: what prometheus_client asks of a collector."""
        for metric in (
            self._operations,
            self._failures,
            self._kms_seconds,
            self._kms_failures,
            self._cache_requests,
        ):
            for family in metric.collect():
                # When a series began; the text format would show each as one more gauge.
                family.samples = [s for s in family.samples if not s.name.endswith("_created")]
                yield family
        census = self._census
        tokens = GaugeMetricFamily(
            "keydeck_tokens", "Tokens by format, by the last census; 0 before the first.", labels=["format"]
        )
        for word in dict.fromkeys((*map(str, Format), *census.by_format)):
            tokens.add_metric([word], census.by_format.get(word, 0))
        yield tokens
        yield GaugeMetricFamily(
            "keydeck_census_timestamp_seconds",
            "When the last census was taken, in Unix time; 0 before the first.",
            value=census.timestamp,
        )
        yield GaugeMetricFamily(
            "keydeck_census_complete",
            "1 if the last census was whole, 0 if it left something out or was never taken.",
            value=int(census.complete),
        )

    def describe(self) -> Iterator[Metric]:
        """For the registry to know the names."""
        return self.collect()

    @contextmanager
    def _unfailing(self) -> Iterator[None]:
        """Keep the failure of a count from becoming the failure of what is counted."""
        try:
            yield
        except Exception as error:  # noqa: BLE001  # whatever it is, a token's operation goes on
            if not self._complained:
                self._complained = True
                _log.warning("Metrics are incomplete: %s while counting.", type(error).__name__)

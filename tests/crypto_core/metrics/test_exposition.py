"""Metrics: what a scrape finds, and the registry that holds it."""

from __future__ import annotations

import io
from typing import Any, cast
from wsgiref.util import setup_testing_defaults

import pytest
from prometheus_client import REGISTRY, CollectorRegistry, Counter, make_wsgi_app
from prometheus_client.parser import text_string_to_metric_families

from crypto_core.envelope import Format
from crypto_core.metrics import OPERATIONS, Metrics
from crypto_core.values.errors import SettingsError
from tests.crypto_core.metrics.samples import AT, read, value

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

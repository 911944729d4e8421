"""Samples of an exposition, as Prometheus reads them."""

from __future__ import annotations

from datetime import UTC, datetime

from prometheus_client.parser import text_string_to_metric_families

from crypto_core.metrics import Metrics
from crypto_core.values.references import TokenRef

TOKEN = "ghp_CANARYcanaryCANARYcanaryCANARYcanary"
REF = TokenRef("gh_connection", "access_token", "gh-canary-row")
AT = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)


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

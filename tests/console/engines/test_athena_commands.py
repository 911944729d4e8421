"""keydeck events pull, stats and pivot with Athena: what it costs, how it ends, and what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from crypto_core.trail.store import EventStore
from tests.conftest import Ran
from tests.crypto_core.trail.records import record
from tests.crypto_core.trail.sources.engines.engine_server import serving
from tests.crypto_core.trail.sources.engines.trino import TrinoServer, table_metadata

pytestmark = pytest.mark.usefixtures("unhurried")

Keydeck = Callable[..., Ran]
HOSTILE = "\x1b]0;owned\x07[bold]OK[/]\u202e because nobody may"


@pytest.fixture
def athena(monkeypatch: pytest.MonkeyPatch) -> Iterator[TrinoServer]:
    """A table with one event of an hour ago, set up as the environment says."""
    at = datetime.now(UTC) - timedelta(hours=1)
    one = record(eventTime=at.strftime("%Y-%m-%dT%H:%M:%SZ"))
    with serving(TrinoServer([one], {"PartitionKeys": [], "Parameters": {}})) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_ATHENA", server.url)
        monkeypatch.setenv("KEYDECK_ATHENA_TABLE", "audit.logs")
        monkeypatch.setenv("KEYDECK_ATHENA_OUTPUT", "s3://results/")
        yield server


@pytest.mark.deep
def test_a_query_that_costs_money_takes_a_yes(keydeck: Keydeck, athena: TrinoServer) -> None:
    found = keydeck("events", "pull", "--from", "athena")
    assert (found.exit_code, found.stdout) == (2, "")
    assert "it needs --yes" in found.stderr
    assert "it is stopped beyond 100.0 GB, 0.5000 USD" in found.stderr
    assert "The table has no partition by day that is known here" in found.stderr
    assert athena.named("StartQueryExecution") == []
    found = keydeck("events", "pull", "--from", "athena", "--yes", "--json", "--max-bytes", "200000")
    assert found.exit_code == 0, found.stderr
    assert (found.json["new"], found.json["source"]) == (1, "athena")
    assert any("scanned 123,456 bytes" in note for note in found.json["notes"])
    (started,) = athena.named("StartQueryExecution")
    assert started["ResultConfiguration"] == {"OutputLocation": "s3://results/"}


def test_events_are_counted_by_athena_after_a_yes(
    keydeck: Keydeck, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]
) -> None:
    at = datetime.now(UTC) - timedelta(minutes=5)
    told = [
        record(name, eventTime=at.strftime("%Y-%m-%dT%H:%M:%SZ"), userAgent=HOSTILE)
        for name in ("Decrypt", "Decrypt", "Encrypt")
    ]
    service = {"type": "AWSService", "invokedBy": "rds.amazonaws.com"}
    told.append(record("DescribeKey", eventTime=told[0]["eventTime"], who=service))
    table = ("--engine", "athena", "audit.logs", "--since", "1d")
    with serving(TrinoServer(told, table_metadata())) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_ATHENA", server.url)
        monkeypatch.setenv("KEYDECK_ATHENA_OUTPUT", "s3://results/")
        asked = keydeck("events", "stats", "--by", "name,agent", *table)
        assert (asked.exit_code, asked.stdout) == (2, "")
        assert "how much it scans is not known before" in asked.stderr
        assert 'Counted are rows FROM "audit"."logs" WHERE "timestamp" >= ' in asked.stderr
        assert "it needs --yes" in asked.stderr
        refused = keydeck("--read-only", "events", "pivot", "name", *table, "--yes")
        assert (refused.exit_code, refused.stdout) == (2, "")
        assert server.named("StartQueryExecution") == []
        found = keydeck("events", "stats", "--by", "name,agent", *table, "--yes", "--json")
        assert [(r["name"], r["count"]) for r in found.json["rows"]] == [("Decrypt", 2), ("Encrypt", 1)]
        assert found.json["rows"][0]["agent"] == "]0;owned[bold]OK[/] because nobody may"
        assert found.json["hidden_service_events"] == 1
        assert "scanned 123,456 bytes" in found.stderr
        values = keydeck("events", "pivot", "name", *table, "--yes", "--max-bytes", "200000", "--json")
        assert [(v["value"], v["events"]) for v in values.json["values"]] == [("Decrypt", 2), ("Encrypt", 1)]
        assert "which periods is not known" in values.json["coverage"]["reasons"][0]
    store = EventStore(Path(environment["KEYDECK_EVENTS_FILE"]))
    assert store.summary("name:Decrypt").events == 0
    store.close()


def test_what_athena_is_not_asked_is_exit_code_2(keydeck: Keydeck) -> None:
    for wrong, said in (
        (("pull", "--from", "athena"), "No table of Athena is set up. Set KEYDECK_ATHENA_TABLE"),
        (("stats", "--by", "name", "--engine", "athena", "a;b"), "'a;b' is not an Athena table"),
        (("list", "--engine", "athena", "audit.logs"), "rows: events pull --from athena"),
    ):
        found = keydeck("events", *wrong)
        assert (found.exit_code, found.stdout) == (2, "")
        assert said in found.stderr


def test_a_query_that_fails_is_exit_code_3_and_its_text_is_harmless(
    keydeck: Keydeck, athena: TrinoServer
) -> None:
    athena.states, athena.reason = [("FAILED", 0)], HOSTILE
    found = keydeck("events", "pull", "--from", "athena", "--yes")
    assert (found.exit_code, found.stdout) == (3, "")
    assert "Athena's query came to nothing: FAILED: ]0;owned[bold]OK[/] because nobody may." in found.stderr
    assert not set("\x1b\x07\u202e") & set(found.stderr)


def test_read_only_asks_no_athena_but_everything_else(keydeck: Keydeck, athena: TrinoServer) -> None:
    refused = keydeck("--read-only", "events", "pull", "--from", "athena", "--yes")
    assert refused.exit_code == 2
    assert "writes its results to S3" in refused.stderr
    assert athena.named("StartQueryExecution") == []
    assert keydeck("--read-only", "events", "pull", "--since", "1m").exit_code == 0

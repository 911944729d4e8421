"""A table of Security Lake's, OCSF in Iceberg: its rows are events, and its counts are theirs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from console.sandbox.endpoint import PLATFORM, EndpointProcess
from crypto_core.guard.consent import Consent
from crypto_core.trail.event import TrailEvent
from crypto_core.trail.record_reader import read_record
from crypto_core.trail.sources.engines.athena import AthenaSettings
from crypto_core.trail.sources.engines.pushed_statistics import AthenaStatistics
from crypto_core.trail.sources.engines.security_lake import as_cloudtrail
from crypto_core.trail.sources.engines.table_definition import TableDefinition
from crypto_core.trail.sources.files.ocsf_records import of_ocsf
from crypto_core.trail.store import EventStore
from crypto_core.trail.store.statistics import FIELDS, MOST_FIELDS, GroupsQuestion
from tests.crypto_core.trail.records import KEY, NOW, OTHER_KEY, context, denied, record, role, user
from tests.crypto_core.trail.sources.amazon import WatchedAws, puller
from tests.crypto_core.trail.sources.engines.engine_server import serving
from tests.crypto_core.trail.sources.engines.trino import TrinoServer, asking, ocsf_metadata, ocsf_row

TABLE = "amazon_security_lake_glue_db_eu_west_1.amazon_security_lake_table_eu_west_1_cloud_trail_mgmt_2_0"
HOSTILE = "x'; DROP TABLE logs; -- \x1b[31m[/red]"
RECORDS = [
    record(),
    record("Encrypt", ago=3_600, who=user(HOSTILE), userAgent=HOSTILE),
    record(ago=60, context=context("gh-42"), vpcEndpointId="vpce-1", tlsDetails={"tlsVersion": "TLSv1.3"}),
    denied(ago=120, key=OTHER_KEY),
    record("GenerateDataKey", ago=90, who={"type": "AWSService", "invokedBy": "rds.amazonaws.com"}),
    record("RotateKey", ago=90, key=None, eventType="AwsServiceEvent", serviceEventDetails={"keyId": KEY}),
    record("StopLogging", ago=30, eventSource="cloudtrail.amazonaws.com", key=None, awsRegion="us-east-1"),
    record("PutObject", eventSource="s3.amazonaws.com"),
    record("Decrypt", ago=100 * 86_400, who=role("old"), sourceIPAddress="AWS Internal"),
    record("CreateKey", ago=45, key=None, responseElements={"keyMetadata": {"arn": OTHER_KEY}}),
]


def events() -> list[TrailEvent]:
    """What the house's reader of OCSF makes of the same rows."""
    found = []
    for one in RECORDS:
        (mapped,) = of_ocsf({"class_uid": 6003, **ocsf_row(one), "time_dt": None})
        event = read_record(mapped)
        assert event is not None
        found.append(event)
    return [event for event in found if event.source != "s3.amazonaws.com"]


@pytest.fixture
def athena(endpoint: EndpointProcess, monkeypatch: pytest.MonkeyPatch) -> Iterator[TrinoServer]:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", PLATFORM)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "unchecked")
    with serving(TrinoServer(RECORDS, ocsf_metadata(), ocsf=True, name=TABLE)) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_ATHENA", server.url)
        server.states = [("SUCCEEDED", 123_456)]
        yield server


@pytest.fixture
def aws(athena: TrinoServer) -> WatchedAws:
    return WatchedAws(("eu-west-1",), attempts=1)


def test_rows_become_the_events_that_their_documents_are(
    aws: WatchedAws, athena: TrinoServer, store: EventStore
) -> None:
    pull = puller(aws, store, lambda: NOW, engines=asking(AthenaSettings(TABLE, "s3://results/")))
    plan = pull.plan_pull("athena", since=NOW - timedelta(days=1))
    assert any("one of OCSF's" in remark for remark in plan.remarks)
    assert any("how much it scans is not known before" in remark for remark in plan.remarks)
    assert "time_dt >= TIMESTAMP '2026-11-24 12:00:00' AND time_dt <= TIMESTAMP" in plan.statement
    report = pull.run_pull(plan, Consent.pressed(plan))
    assert (report.new, report.coverage.complete) == (8, True)
    wanted = {event.event_id: event.as_json() for event in events() if event.time > NOW - timedelta(days=1)}
    assert {name: store.event(name).event.as_json() for name in wanted} == wanted
    only = pull.plan_pull(
        "athena", since=NOW - timedelta(days=1), regions=["us-east-1"], expression="name:Stop*"
    )
    assert "region IN ('us-east-1')" in only.statement
    assert pull.run_pull(only, Consent.pressed(only)).records == 1
    hostile = as_cloudtrail("t", TableDefinition(ocsf_metadata()), (NOW, None), (None, None), ["x'; --"])
    assert "--" not in hostile


@pytest.mark.deep
def test_counts_are_those_of_the_events(aws: WatchedAws, athena: TrinoServer, tmp_path: Path) -> None:
    store = EventStore(tmp_path / "e.sqlite", clock=lambda: NOW)
    store.add(events())
    settings = AthenaSettings(TABLE, "s3://results/")
    statistics = AthenaStatistics(aws, settings, lambda: NOW, rest=lambda _event, _seconds: None)
    some = [FIELDS[start : start + MOST_FIELDS] for start in range(0, len(FIELDS), MOST_FIELDS)]
    asked = [
        *((fields, "since:1d -service") for fields in some),
        (("day",), ""),
        (("name",), "region:us-east-1"),
    ]
    for fields, expression in asked:
        question = GroupsQuestion(fields, "principal")
        plan = statistics.plan_statistics(question, expression)
        found = statistics.run_statistics(plan, Consent.pressed(plan))
        its = store.groups(question, expression)
        assert (fields, expression, set(found.groups.rows)) == (fields, expression, set(its.rows))
    assert "region IN ('us-east-1')" in plan.statement
    assert "time_dt" not in plan.scans.partition("WHERE")[2]
    store.close()
    assert json.dumps(HOSTILE)[1:-1] not in plan.statement


def test_only_what_the_definition_has_is_asked_for(
    aws: WatchedAws, athena: TrinoServer, store: EventStore
) -> None:
    athena.metadata = ocsf_metadata("time_dt", "unmapped", "resources", partitions=("region", "eventday"))
    settings = AthenaSettings(TABLE, "s3://results/")
    statistics = AthenaStatistics(aws, settings, lambda: NOW, rest=lambda _event, _seconds: None)
    plan = statistics.plan_statistics(GroupsQuestion(("day", "name")), "since:2026-11-25 region:us-east-1")
    assert "eventday >= '20261125'" in plan.statement
    assert "time_dt" not in plan.statement
    assert "unmapped" not in plan.statement
    athena.database.execute(f"ALTER TABLE {TABLE} ADD COLUMN eventday VARCHAR")
    athena.database.execute(f"UPDATE {TABLE} SET eventday = '20261125'")
    (row,) = statistics.run_statistics(plan, Consent.pressed(plan)).groups.rows
    assert (row.texts, row.events) == (("2026-11-25", "StopLogging"), 1)


def test_fields_within_columns_are_read_from_their_types() -> None:
    kind = "struct<a:string,b:array<struct<c:int,d:map<string,string>>>,e:struct<f:decimal(10,2),g:string>>"
    metadata = {
        "Columns": [{"Name": "X", "Type": kind}, {"Name": "y\x1b\"'", "Type": "<<>>:,<"}, {"Name": None}]
    }
    definition = TableDefinition(metadata)
    there = ("x", "x.a", "x.b", "x.b.c", "x.b.d", "x.e", "x.e.f", "x.e.g")
    assert all(map(definition.has, there))
    assert not any(map(definition.has, ("x.c", "x.e.a", "x.b.g", "z", "eventid")))

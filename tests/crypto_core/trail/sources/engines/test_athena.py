"""Athena: what it is asked, what that costs, and how a query ends. Against a stand-in: no sandbox has it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from threading import Event
from typing import Any

import pytest

from console.sandbox.endpoint import PLATFORM, EndpointProcess
from crypto_core.guard.consent import Consent, Danger
from crypto_core.trail.coverage_record import CoverageRecord
from crypto_core.trail.sources.engines import athena as engine
from crypto_core.trail.sources.engines.athena import AthenaSettings
from crypto_core.trail.sources.puller import EventPuller
from crypto_core.trail.sources.report import PullReport
from crypto_core.trail.store import EventStore
from crypto_core.values import errors
from tests.crypto_core.trail.records import KEY, NOW, context, denied, record, user
from tests.crypto_core.trail.sources.amazon import HERE, THERE, WatchedAws, log_file, log_key, puller
from tests.crypto_core.trail.sources.engines.engine_server import QUERY, serving
from tests.crypto_core.trail.sources.engines.engine_server import RefusedError as Refused
from tests.crypto_core.trail.sources.engines.trino import (
    COLUMNS,
    TrinoServer,
    asking,
    cloudtrail_row,
    table_metadata,
    trino,
)

SETTINGS = AthenaSettings("audit.logs", "s3://results/keydeck/")
BY_DAY = table_metadata()
RECORDS = [
    record(ago=60),
    record("Encrypt", ago=120, awsRegion=THERE),
    record(ago=180, context=context("gh-42"), who=user()),
    denied(eventTime="2026-11-25T11:00:00Z"),
    record(ago=200_000),
]


def now() -> datetime:
    return NOW


@pytest.fixture
def athena() -> Iterator[TrinoServer]:
    """A table of records, partitioned by day."""
    with serving(TrinoServer(RECORDS, BY_DAY)) as server:
        yield server


@pytest.fixture
def aws(athena: TrinoServer, endpoint: EndpointProcess, monkeypatch: pytest.MonkeyPatch) -> WatchedAws:
    """The sandbox, and Athena beside it."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint.url)
    monkeypatch.setenv("AWS_ENDPOINT_URL_ATHENA", athena.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", PLATFORM)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "unchecked")
    return WatchedAws((HERE, THERE), attempts=1)


@pytest.fixture
def pull(aws: WatchedAws, store: EventStore) -> EventPuller:
    return puller(aws, store, now, regions=(HERE, THERE), engines=asking(SETTINGS))


def fetch(pull: EventPuller, expression: str = "", **more: Any) -> PullReport:
    plan = pull.plan_pull("athena", since=NOW - timedelta(days=1), expression=expression, **more)
    return pull.run_pull(plan, Consent.pressed(plan))


def test_the_rows_of_the_window_become_events(
    pull: EventPuller, store: EventStore, athena: TrinoServer
) -> None:
    report = fetch(pull)
    assert (report.source, report.records, report.new, report.kms) == ("athena", 4, 4, 4)
    assert report.regions == (HERE, THERE)
    assert report.coverage.complete
    event = store.event(RECORDS[2]["eventID"]).event
    assert str(event.token_ref) == "gh_connection.access_token:gh-42"
    assert (event.principal.name, event.key_arns) == ("user/intruder", (KEY,))
    assert store.event(RECORDS[3]["eventID"]).event.key_arns == (KEY,)
    assert any("scanned 123,456 bytes, 0.0001 USD" in note for note in report.notes)


def test_the_same_events_from_elsewhere_are_no_new_ones(pull: EventPuller, store: EventStore) -> None:
    fetch(pull)
    report = fetch(pull)
    assert (report.new, report.duplicates) == (0, 4)
    assert pull.plan_pull("athena").asked.since == NOW - timedelta(minutes=15)


def test_a_table_vouches_for_no_region(pull: EventPuller, store: EventStore) -> None:
    fetch(pull)
    covered = CoverageRecord(store, lambda: [HERE], clock=now)
    assert not covered.coverage_of(NOW - timedelta(hours=1), NOW).complete
    assert not covered.between(None, None).complete


def test_the_filter_and_the_regions_are_pushed_down(
    pull: EventPuller, store: EventStore, athena: TrinoServer
) -> None:
    report = fetch(pull, "name:Encrypt")
    assert (report.records, report.new) == (1, 1)
    report = fetch(pull, regions=[HERE])
    assert (report.records, report.regions) == (3, (HERE,))
    report = fetch(pull, "agent:nobody*")
    assert (report.records, report.new) == (4, 0)


def test_values_are_bound_and_results_go_where_they_should(pull: EventPuller, athena: TrinoServer) -> None:
    fetch(pull, 'principal:"x\'; DROP TABLE logs; --"')
    (started,) = athena.named("StartQueryExecution")
    assert "DROP" not in started["QueryString"]
    assert started["QueryString"].count("?") == len(started["ExecutionParameters"])
    assert "'%x''; drop table logs; --%'" in started["ExecutionParameters"]
    assert started["ResultConfiguration"] == {"OutputLocation": "s3://results/keydeck/"}
    assert 'FROM "audit"."logs"' in started["QueryString"]


def test_only_the_partitions_of_the_window_are_scanned(pull: EventPuller, athena: TrinoServer) -> None:
    fetch(pull)
    (started,) = athena.named("StartQueryExecution")
    assert '"timestamp" >= ? AND "timestamp" <= ?' in started["QueryString"]
    # The folder is that of the delivery, which may be the next day.
    assert {"'2026/11/24'", "'2026/11/26'"} <= set(started["ExecutionParameters"])


@pytest.mark.parametrize(
    ("keys", "parameters", "said"),
    [
        (
            ["day"],
            {"projection.day.format": "yyyy-MM-dd"},
            "\"day\" >= '2026-11-24' AND \"day\" <= '2026-11-26'",
        ),
        (["dt", "region"], {"projection.dt.format": "yyyyMMdd"}, "\"dt\" >= '20261124'"),
        (["year", "month", "day"], {}, ">= '20261124'"),
        (["region"], {}, None),
        (["day"], {}, None),
        (["other"], {"projection.other.format": "yyyy/MM/dd"}, None),
    ],
    ids=range(6),
)
def test_partitions_by_day_are_known_in_several_forms(
    pull: EventPuller, athena: TrinoServer, keys: list[str], parameters: dict[str, str], said: str | None
) -> None:
    athena.metadata = {
        "PartitionKeys": [{"Name": k, "Type": "string"} for k in keys],
        "Parameters": parameters,
    }
    plan = pull.plan_pull("athena", since=NOW - timedelta(days=1))
    assert (said or "eventtime") in plan.statement
    unknown = any("no partition by day that is known here: all of it is scanned" in r for r in plan.remarks)
    assert unknown is (said is None)


@pytest.mark.parametrize("kind", ["enum", "injected", ""])
def test_partitions_by_region_and_account_are_named_where_they_are_asked_for(
    pull: EventPuller, athena: TrinoServer, kind: str
) -> None:
    projected = {f"projection.{key}.type": kind for key in ("region", "account") if kind}
    athena.metadata = {
        "PartitionKeys": [{"Name": k, "Type": "string"} for k in ("account", "region", "day")],
        "Parameters": {"projection.day.format": "yyyy/MM/dd", **projected},
    }
    since = NOW - timedelta(days=1)
    plan = pull.plan_pull(
        "athena", since=since, regions=[HERE], expression="account:111122223333,444455556666"
    )
    assert f"\"region\" IN ('{HERE}')" in plan.statement
    assert "\"day\" >= '2026/11/24'" in plan.statement
    # A record without an account has its caller's: only where values must be named, they are.
    named = "\"account\" IN ('111122223333', '444455556666')" in plan.statement
    assert named is (kind == "injected")


@pytest.mark.parametrize(
    ("key", "regions", "expression", "remedy"),
    [
        ("region", (), "account:111122223333", "Name them: --region NAME."),
        ("account", (HERE,), "", "Name them: --filter account:NUMBER."),
        ("account", (HERE,), "-account:111122223333", "Name them: --filter account:NUMBER."),
        ("account", (HERE,), "account:1111*", "Name them: --filter account:NUMBER."),
        ("account", (HERE,), "account:111122223333 OR failed", "Name them: --filter account:NUMBER."),
        ('x\x1b[31m"; --', (HERE,), "", "Name another table: KEYDECK_ATHENA_TABLE."),
    ],
)
def test_a_partition_that_must_be_named_and_is_not_is_refused(
    pull: EventPuller,
    athena: TrinoServer,
    key: str,
    regions: tuple[str, ...],
    expression: str,
    remedy: str,
) -> None:
    athena.metadata = {
        "PartitionKeys": [{"Name": key, "Type": "string"}],
        "Parameters": {f"projection.{key}.type": "injected"},
    }
    with pytest.raises(errors.SettingsError, match="is injected: a query must name its values") as caught:
        pull.plan_pull("athena", since=NOW - timedelta(days=1), regions=regions, expression=expression)
    assert caught.value.remedy == remedy
    assert "\x1b" not in caught.value.message
    assert not athena.named("StartQueryExecution")


def test_what_it_costs_is_told_before(
    pull: EventPuller,
    athena: TrinoServer,
    client: Callable[..., Any],
    bucket: str,
    put: Callable[..., str],
) -> None:
    sizes = 0
    for day in (NOW - timedelta(days=30), NOW - timedelta(hours=20), NOW):
        body = log_file(*(record() for _ in range(5)))
        put(log_key(day), body)
        put(log_key(day, kind="CloudTrail-Digest"), bytes(10_000))
        sizes += len(body) if day > NOW - timedelta(days=2) else 0
    location = {"location": f"s3://{bucket}/AWSLogs/"}
    athena.metadata = {**BY_DAY, "Parameters": {**BY_DAY["Parameters"], **location}}
    plan = pull.plan_pull("athena", since=NOW - timedelta(days=1))
    assert plan.scanned == sizes
    assert (plan.costs, plan.danger) == (True, Danger.CONFIRM)
    assert any(
        "expected to scan about" in r and "USD; it is stopped beyond 100.0 GB" in r for r in plan.remarks
    )
    # Without a partition by day, all of it is read.
    athena.metadata = {"Parameters": location}
    whole = pull.plan_pull("athena", since=NOW - timedelta(days=1)).scanned
    assert whole is not None
    assert whole > sizes


def test_a_query_that_would_scan_too_much_is_refused_before_it_begins(
    pull: EventPuller, athena: TrinoServer, bucket: str, put: Callable[..., str]
) -> None:
    put(log_key(NOW), bytes(5_000))
    location = {"location": f"s3://{bucket}/AWSLogs"}
    athena.metadata = {**BY_DAY, "Parameters": {**BY_DAY["Parameters"], **location}}
    with pytest.raises(errors.RefusedError, match=r"would scan about 5\.0 kB; 4\.0 kB are allowed"):
        pull.plan_pull("athena", since=NOW - timedelta(days=1), max_bytes=4_000)
    assert pull.plan_pull("athena", since=NOW - timedelta(days=1), max_bytes=5_000).most == 5_000
    assert athena.named("StartQueryExecution") == []


def test_a_query_that_scans_too_much_is_stopped(
    pull: EventPuller, athena: TrinoServer, store: EventStore
) -> None:
    athena.states = [("RUNNING", 10), ("RUNNING", 5_000), ("RUNNING", 9_000)]
    with pytest.raises(errors.TrailError, match="had scanned 5,000 bytes, 4,000 are allowed"):
        fetch(pull, max_bytes=4_000)
    assert athena.named("StopQueryExecution") == [{"QueryExecutionId": QUERY}]
    assert store.summary("").events == 0


def test_nothing_runs_without_consent_to_exactly_this(pull: EventPuller, athena: TrinoServer) -> None:
    plan = pull.plan_pull("athena", since=NOW - timedelta(days=1))
    other = pull.plan_pull("athena", since=NOW - timedelta(days=2))
    with pytest.raises(errors.NotConfirmedError):
        pull.run_pull(plan)
    with pytest.raises(errors.NotConfirmedError):
        pull.run_pull(plan, Consent.pressed(other))
    with pytest.raises(errors.NotConfirmedError):
        pull.pull_events("athena")
    assert athena.named("StartQueryExecution") == []


def test_a_query_that_has_changed_since_it_was_agreed_to_is_not_run(
    pull: EventPuller, athena: TrinoServer
) -> None:
    plan = pull.plan_pull("athena", since=NOW - timedelta(days=1))
    athena.metadata = {"PartitionKeys": [], "Parameters": {}}  # all of it would be scanned
    with pytest.raises(errors.NotConfirmedError, match="another one than was agreed to"):
        pull.run_pull(plan, Consent.pressed(plan))
    assert athena.named("StartQueryExecution") == []


def test_read_only_sends_no_query(aws: WatchedAws, athena: TrinoServer, store: EventStore) -> None:
    aws.read_only = True
    pull = puller(aws, store, now, engines=asking(SETTINGS))
    with pytest.raises(errors.ReadOnlyError, match="writes its results to S3"):
        fetch(pull)
    assert athena.named("StartQueryExecution") == []


def test_whoever_cancels_stops_the_query(aws: WatchedAws, athena: TrinoServer, store: EventStore) -> None:
    athena.states = [("RUNNING", 10)]
    cancelled = Event()
    waits = iter([lambda: None, lambda: None, cancelled.set])
    pull = puller(aws, store, now, engines=asking(SETTINGS), rest=lambda _event, _seconds: next(waits)())
    plan = pull.plan_pull("athena", since=NOW - timedelta(days=1))
    with pytest.raises(errors.InterruptedRunError):
        pull.run_pull(plan, Consent.pressed(plan), cancelled=cancelled)
    assert len(athena.named("GetQueryExecution")) == 3
    assert athena.named("StopQueryExecution") == [{"QueryExecutionId": QUERY}]


def test_a_query_that_cannot_be_looked_at_is_stopped(pull: EventPuller, athena: TrinoServer) -> None:
    def refuse(_parameters: dict[str, Any]) -> dict[str, Any]:
        raise Refused("AccessDeniedException", "not authorized to perform: athena:GetQueryExecution")

    athena.handlers["GetQueryExecution"] = refuse
    with pytest.raises(errors.KmsAccessDeniedError, match="athena:GetQueryExecution"):
        fetch(pull)
    assert len(athena.named("StopQueryExecution")) == 1


@pytest.mark.parametrize("state", ["FAILED", "CANCELLED"])
def test_a_query_that_fails_says_why_without_control_characters(
    pull: EventPuller, athena: TrinoServer, state: str
) -> None:
    athena.states = [("RUNNING", 0), (state, 0)]
    athena.reason = "COLUMN_NOT_FOUND: line 1:8: \x1b]0;evil\x07 [bold]x[/] cannot be resolved"
    with pytest.raises(errors.TrailError) as raised:
        fetch(pull)
    assert f"{state}: COLUMN_NOT_FOUND" in raised.value.message
    assert "\x1b" not in str(raised.value)
    assert athena.named("StopQueryExecution") == []


def test_results_come_page_by_page_and_the_header_once(
    pull: EventPuller, athena: TrinoServer, store: EventStore
) -> None:
    athena.database = trino([cloudtrail_row(record(ago=n)) for n in range(250)], COLUMNS)
    athena.page = 100
    assert fetch(pull).new == 250
    assert [p.get("NextToken") for p in athena.named("GetQueryResults")] == [None, "100", "200"]


def test_no_rows_are_no_trouble(pull: EventPuller, athena: TrinoServer) -> None:
    athena.database = trino([], COLUMNS)
    report = fetch(pull)
    assert (report.records, report.coverage.complete) == (0, True)


def test_more_rows_than_allowed_are_a_gap(
    pull: EventPuller, athena: TrinoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "MOST_ROWS", 3)
    report = fetch(pull)
    assert report.records == 4
    assert any("more than 3 rows" in gap for gap in report.gaps)
    assert pull.plan_pull("athena").asked.since == NOW - timedelta(hours=24)


def test_a_row_that_is_no_record_is_a_gap(pull: EventPuller, athena: TrinoServer, store: EventStore) -> None:
    empty = {"eventTime": "2026-11-25T11:00:00Z", "eventSource": "kms.amazonaws.com"}
    athena.database = trino([cloudtrail_row(empty)], COLUMNS)
    answer = athena.handlers["GetQueryResults"]

    def blank(parameters: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = dict(answer(parameters))
        found["ResultSet"]["Rows"][1]["Data"] = [{} for _ in found["ResultSet"]["Rows"][1]["Data"]]
        return found

    athena.handlers["GetQueryResults"] = blank
    report = fetch(pull)
    assert report.gaps == ("Athena: 1 rows are not records.",)


def test_without_the_tables_description_the_operator_is_warned(
    pull: EventPuller, athena: TrinoServer
) -> None:
    athena.metadata = None
    plan = pull.plan_pull("athena", since=NOW - timedelta(days=1))
    assert plan.scanned is None
    assert any("how much it scans is not known before" in remark for remark in plan.remarks)
    assert any(
        "so all of it is scanned: athena:GetTableMetadata is not allowed." in remark
        for remark in plan.remarks
    )


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (AthenaSettings(), "No table of Athena is set up"),
        (AthenaSettings("logs", "s3://x/"), "'logs' is not an Athena table"),
        (AthenaSettings('a.b"; DROP', "s3://x/"), "is not an Athena table"),
        (AthenaSettings("a.b"), "no place for its results"),
    ],
    ids=range(4),
)
def test_what_is_not_set_up_is_told_by_its_setting(
    aws: WatchedAws, store: EventStore, settings: AthenaSettings, said: str
) -> None:
    with pytest.raises(errors.SettingsError, match=said) as raised:
        puller(aws, store, now, engines=asking(settings)).plan_pull("athena")
    assert "KEYDECK_ATHENA_" in raised.value.remedy


def test_a_workgroup_has_its_own_place_for_results(
    aws: WatchedAws, athena: TrinoServer, store: EventStore
) -> None:
    settings = AthenaSettings("audit.logs", workgroup="oncall")
    fetch(puller(aws, store, now, engines=asking(settings)))
    (started,) = athena.named("StartQueryExecution")
    assert started["WorkGroup"] == "oncall"
    assert "ResultConfiguration" not in started

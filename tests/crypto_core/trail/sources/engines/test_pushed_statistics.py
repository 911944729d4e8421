"""Statistics by Athena: its statement, run by DuckDB over CloudTrail's table, counts as the store does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from crypto_core.aws.kms import KmsApi
from crypto_core.guard.consent import Consent, Danger
from crypto_core.lists.filter_language import terms_of
from crypto_core.trail.event import TrailEvent
from crypto_core.trail.query import is_of_record, parse
from crypto_core.trail.record_reader import load, read_record
from crypto_core.trail.sources.engines.athena import AthenaSettings
from crypto_core.trail.sources.engines.pushed_statistics import AthenaStatistics, PushedGroups
from crypto_core.trail.store import EventStore
from crypto_core.trail.store.statistics import FIELDS, MOST_FIELDS, GroupsQuestion, Threshold
from crypto_core.values.errors import (
    InvalidFilterError,
    NotConfirmedError,
    ReadOnlyError,
    RefusedError,
    TrailError,
)
from tests.crypto_core.trail.conftest import ALIASES
from tests.crypto_core.trail.records import (
    KEY,
    MATERIAL,
    NOW,
    OTHER_KEY,
    S3_CONTEXT,
    context,
    denied,
    record,
    role,
    user,
)
from tests.crypto_core.trail.sources.engines.engine_server import QUERY, serving
from tests.crypto_core.trail.sources.engines.trino import TrinoServer, table_metadata
from tests.crypto_core.trail.test_query import _FILTERS, EXAMPLES, SAMPLE
from tests.lanes import examples

SETTINGS = AthenaSettings("audit.logs", "s3://results/keydeck/")
HOSTILE = 'x\'; DROP TABLE "logs"; -- \x1b[31m[/red]\u202e'
FOREIGN = KEY.replace("111122223333", "444455556666").replace("1234abcd", "9999abcd")
BARE = KEY.rsplit("/", 1)[-1]


def _records() -> Iterator[dict[str, Any]]:
    for one in SAMPLE:
        # Of a table's version of TLS all are texts.
        record_ = load(one.raw)
        tls = (record_.get("tlsDetails") or {}).get("tlsVersion")
        yield record_ | {"tlsDetails": {"tlsVersion": tls} if isinstance(tls, str) else None}
    yield record(
        eventID=SAMPLE[0].event_id, **{k: v for k, v in load(SAMPLE[0].raw).items() if k != "eventID"}
    )
    yield record(key=None, requestParameters={"keyId": BARE})
    yield record(key=FOREIGN, requestParameters={"keyId": FOREIGN.rsplit("/", 1)[-1]})
    yield record("DisableKey", key=None, requestParameters=None, responseElements={"keyId": OTHER_KEY})
    yield record(
        "CreateKey", key=None, responseElements={"keyMetadata": {"arn": OTHER_KEY}}, awsRegion="cn-north-1"
    )
    yield record("Decrypt", key=None, requestParameters={"keyId": f"arn:aws:kms:x:1:alias/{'a' * 250}"})
    yield record("Decrypt", key=None, requestParameters={"keyId": f"alias/{'a' * 251}"})
    yield record("DescribeKey", key=None, requestParameters={"keyId": BARE}, awsRegion="us-gov-west-1")
    yield record("RotateKey", eventType="AwsServiceEvent", key=None, serviceEventDetails={"keyId": BARE})
    yield record("ReEncrypt", additionalEventData={
        "sourceKeyMaterialId": MATERIAL, "destinationKeyMaterialId": "a" * 64, "keyMaterialId": "b" * 63,
    })  # fmt: skip
    for member in ("a#b", None):
        row = context("50%#1", table="connectors", column="secret_json") | {"keydeck:schema": "tenant_1"}
        yield record(context=row | ({"keydeck:member": member} if member else {}))
    yield record(context=context("g" * 300) | {"other": '{"'})
    yield record(context={"keydeck:table": "a.b", "keydeck:column": "c", "keydeck:id": "1"})
    yield record(
        who={"type": "AWSService", "invokedBy": "rds.amazonaws.com"}, context={"aws:rds": '",{"keydeck:x'}
    )
    for pairs in (context("1"), S3_CONTEXT, {"a": "b", "keydeck:id": "1"}):
        yield record(who={"type": "AWSService", "invokedBy": "rds.amazonaws.com"}, context=pairs)
        yield record(who=role(invokedBy="s3.amazonaws.com"), context=pairs)
    yield record(who=role("AWSReservedSSO_admin_1", "ana\u2028b\x1b"), sourceIPAddress="10.20.255.0")
    yield record(who=role("a", "b") | {"arn": "arn:aws-cn:sts::1234:assumed-role/x/y"})
    issued = role("path", "s")
    issued["sessionContext"]["sessionIssuer"]["arn"] = "arn:aws:iam::111122223333:role/deep/path"
    yield record(who=issued, sessionCredentialFromConsole="true")
    yield record(
        who=user(HOSTILE), userAgent="a\t\r\nb" + "ü" * 1_100, errorCode="Client.UnauthorizedOperation"
    )
    yield denied(errorMessage=f"{OTHER_KEY} {KEY} {OTHER_KEY}", recipientAccountId="12", key="")
    yield record("StartLogging", eventSource="cloudtrail.amazonaws.com", requestParameters={"keyId": KEY})
    yield record("Decrypt", requestParameters=None, resources=None, userIdentity={"type": "Root"})


RECORDS = list(_records())


@pytest.fixture(scope="module")
def athena() -> Iterator[TrinoServer]:
    with serving(TrinoServer(RECORDS, table_metadata())) as server:
        server.states = [("SUCCEEDED", 123_456)]
        yield server


@pytest.fixture(scope="module")
def kms(athena: TrinoServer) -> Iterator[KmsApi]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL_ATHENA", athena.url)
        patch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "unchecked")
        yield KmsApi(("eu-west-1",), attempts=1)


@pytest.fixture(scope="module")
def statistics(kms: KmsApi) -> AthenaStatistics:
    return AthenaStatistics(kms, SETTINGS, lambda: NOW, lambda: ALIASES, lambda _event, _seconds: None)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EventStore]:
    path = tmp_path_factory.mktemp("events") / "e.sqlite"
    store = EventStore(path, aliases=lambda: ALIASES, clock=lambda: NOW)
    store.add([one for one in map(read_record, RECORDS) if isinstance(one, TrailEvent)])
    yield store
    store.close()


def counted(statistics: AthenaStatistics, question: GroupsQuestion, expression: str = "") -> PushedGroups:
    plan = statistics.plan_statistics(question, expression)
    return statistics.run_statistics(plan, Consent.pressed(plan))


def test_every_field_holds_what_the_store_has(
    prepared: AthenaStatistics, athena: TrinoServer, filled: EventStore
) -> None:
    for start in range(0, len(FIELDS), MOST_FIELDS):
        fields = FIELDS[start : start + MOST_FIELDS]
        for expression in ("", "service", "human OR root OR console"):
            question = GroupsQuestion(fields, "ip", limit=1_000)
            found = counted(prepared, question, expression)
            its = filled.groups(question, expression)
            assert (fields, expression, set(found.groups.rows)) == (fields, expression, set(its.rows))
        assert found.notes == ("Athena scanned 123,456 bytes, 0.0001 USD at list price.",)


@pytest.fixture
def prepared(athena: TrinoServer, statistics: AthenaStatistics) -> AthenaStatistics:
    if not athena.prepared:
        athena.prepare()
    return statistics


def agrees(statistics: AthenaStatistics, filled: EventStore, expression: str) -> None:
    """It counts what the store counts, or refuses what it can't be asked."""
    question = GroupsQuestion(("name", "principal"), limit=1_000)
    named = {term.field or "" for term in terms_of(parse(expression, NOW))}
    if any(name in ("reviewed", "noted", "receipt", "explained") or is_of_record(name) for name in named):
        with pytest.raises(InvalidFilterError, match="Athena can't be asked for"):
            counted(statistics, question, expression)
        return
    try:
        found = counted(statistics, question, expression)
    except InvalidFilterError as refused:
        if not any(said in refused.message for said in ("regular expression", "IPv6", "more than 400")):
            raise
        return
    assert set(found.groups.rows) == set(filled.groups(question, expression).rows)


@pytest.mark.parametrize("expression", [one for one in EXAMPLES if "twin" not in one][::3])
def test_a_filter_lets_through_what_it_does_in_the_store(
    prepared: AthenaStatistics, filled: EventStore, expression: str
) -> None:
    agrees(prepared, filled, expression)


@given(_FILTERS)
@settings(max_examples=examples(60), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_filter_means_the_same_in_athena(
    prepared: AthenaStatistics, filled: EventStore, expression: str
) -> None:
    agrees(prepared, filled, expression)


@pytest.fixture
def whole(athena: TrinoServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The statement is run as it is, over the table."""
    monkeypatch.setattr(athena, "prepared", "")


@pytest.mark.usefixtures("whole")
def test_groups_are_chosen_and_limited_where_they_are_counted(
    statistics: AthenaStatistics, filled: EventStore
) -> None:
    few = GroupsQuestion(("token", "hour"), "principal", (Threshold("count", "<", 3),), 2, valued=True)
    found = counted(statistics, few, "-service since:30d")
    all_ = filled.groups(replace(few, limit=1_000), "-service since:30d token:*")
    assert len(found.groups.rows) == 2
    assert set(found.groups.rows) < set(all_.rows)
    assert (found.groups.others, found.hidden) == (
        len(all_.rows) - 2, filled.summary("-service since:30d").hidden_service_events
    )  # fmt: skip
    none = counted(statistics, GroupsQuestion(("name",)), "-service name:Backup* since:1m")
    assert none.groups.rows == ()


@pytest.mark.usefixtures("whole")
def test_only_the_partitions_of_the_window_are_scanned_and_rows_never_leave(
    statistics: AthenaStatistics, athena: TrinoServer
) -> None:
    athena.asked.clear()
    found = counted(statistics, GroupsQuestion(("name",)), "since:2026-11-24 until:2026-11-25T12:00:00Z")
    (started,) = athena.named("StartQueryExecution")
    assert '"timestamp" >= ? AND "timestamp" <= ?' in started["QueryString"]
    assert {"'2026/11/24'", "'2026/11/26'"} <= set(started["ExecutionParameters"])
    assert started["ResultConfiguration"] == {"OutputLocation": "s3://results/keydeck/"}
    assert len(athena._results) == len(found.groups.rows) < 20
    assert len(started["QueryString"]) < 200_000  # Athena takes 262,144 bytes


@pytest.mark.usefixtures("whole")
def test_values_are_bound_whatever_is_in_them(
    statistics: AthenaStatistics, athena: TrinoServer, filled: EventStore
) -> None:
    athena.asked.clear()
    asked = 'principal:*DROP*logs* name:Decrypt -agent:"x\'; DROP TABLE logs; --","$v0","?"'
    found = counted(statistics, GroupsQuestion(("principal",)), asked)
    assert set(found.groups.rows) == set(filled.tally(("principal",), asked).rows)
    assert found.groups.rows[0].texts[0].endswith('"logs"; -- [31m[/red]')
    (started,) = athena.named("StartQueryExecution")
    assert "drop" not in started["QueryString"].lower()
    plan = statistics.plan_statistics(GroupsQuestion(("principal",)), asked)
    assert "'x''; drop table logs; --'" in plan.statement
    for wrong in (f'agent:"{"x" * 500}"', 'agent:"a\u202eb"'):
        with pytest.raises(InvalidFilterError, match="Athena can't be asked for a value of more than"):
            statistics.plan_statistics(GroupsQuestion(("principal",)), wrong)


def test_what_it_costs_is_said_before_and_nothing_runs_without_consent(
    statistics: AthenaStatistics, athena: TrinoServer
) -> None:
    question = GroupsQuestion(("name",))
    plan = statistics.plan_statistics(question, "since:1d", most=10**9)
    assert (plan.danger, plan.scanned, plan.most) == (Danger.CONFIRM, None, 10**9)
    assert "how much it scans is not known before; it is stopped beyond 1.0 GB" in plan.remarks[0]
    assert any("A call with two records" in one for one in plan.remarks)
    whole = statistics.plan_statistics(question, "")
    assert "No --since is given: all of the table is scanned." in whole.remarks
    athena.asked.clear()
    for consent in (None, Consent.pressed(whole)):
        with pytest.raises(NotConfirmedError):
            statistics.run_statistics(plan, consent)
    reader = AthenaStatistics(KmsApi(("eu-west-1",), attempts=1, read_only=True), SETTINGS, lambda: NOW)
    with pytest.raises(ReadOnlyError, match="writes its results to S3"):
        reader.run_statistics(plan, Consent.pressed(plan))
    assert athena.named("StartQueryExecution") == []


def test_a_query_that_scans_too_much_is_stopped_or_refused(
    statistics: AthenaStatistics, athena: TrinoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(athena, "states", [("RUNNING", 10), ("RUNNING", 5_000), ("RUNNING", 9_000)])
    athena.asked.clear()
    plan = statistics.plan_statistics(GroupsQuestion(("name",)), "", most=4_000)
    with pytest.raises(TrailError, match="had scanned 5,000 bytes, 4,000 are allowed"):
        statistics.run_statistics(plan, Consent.pressed(plan))
    assert athena.named("StopQueryExecution") == [{"QueryExecutionId": QUERY}]
    estimate = "crypto_core.trail.sources.engines.athena.Athena.estimate"
    monkeypatch.setattr(estimate, lambda *_: (5_000, []))
    with pytest.raises(RefusedError, match=r"would scan about 5\.0 kB; 4\.0 kB are allowed"):
        statistics.plan_statistics(GroupsQuestion(("name",)), "", most=4_000)


def test_partitions_by_place_come_from_the_filter_and_columns_from_the_table(
    statistics: AthenaStatistics, athena: TrinoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    metadata = table_metadata(**{"projection.region.type": "injected", "projection.account.type": "injected"})
    metadata["PartitionKeys"] += [{"Name": "region"}, {"Name": "account"}]
    metadata["Columns"] = [c for c in metadata["Columns"] if c["Name"] not in ("tlsdetails", "resources")]
    monkeypatch.setattr(athena, "metadata", metadata)
    wanted = "region:EU-west-1,us-east-1 account:111122223333 since:1d"
    plan = statistics.plan_statistics(GroupsQuestion(("tls",)), wanted)
    assert "\"region\" IN ('eu-west-1', 'us-east-1') AND \"account\" IN ('111122223333')" in plan.statement
    assert "tlsdetails" not in plan.statement
    assert "CAST(resources" not in plan.statement
    monkeypatch.setattr(athena, "metadata", None)
    blind = statistics.plan_statistics(GroupsQuestion(("tls",)), "since:1d")
    assert any("so all of it is scanned" in remark for remark in blind.remarks)
    assert "vpcendpointid" not in blind.statement

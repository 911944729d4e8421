"""The rules over Athena's table: its statements, run by DuckDB, make the findings that the store makes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from crypto_core.aws.kms import KmsApi
from crypto_core.errors import (
    InvalidFilterError,
    NotConfirmedError,
    QueryLimitError,
    ReadOnlyError,
    RefusedError,
    TrailError,
)
from crypto_core.guard.consent import Consent, Danger
from crypto_core.trail.columns import EventProperty, marks
from crypto_core.trail.event import CLOUDTRAIL, KMS, S3, TrailEvent
from crypto_core.trail.event_sql.questions import EngineHistory
from crypto_core.trail.record_reader import read_record
from crypto_core.trail.rules.examination import EngineRules
from crypto_core.trail.rules.rule_context import request
from crypto_core.trail.rules.service import TrailRules
from crypto_core.trail.sources.engines.athena import Athena, AthenaSettings
from crypto_core.trail.sources.engines.event_columns import RECORD_COLUMNS
from crypto_core.trail.sources.engines.pushed_rules import (
    MOST_STATEMENTS,
    AthenaEvents,
    AthenaExaminations,
    ExaminationPlan,
)
from crypto_core.trail.sources.pull_query import PullQuery
from crypto_core.trail.store import EventStore
from crypto_core.trail.store.event_questions import EventQuestions, Span, has, like
from crypto_core.trail.store.history import History
from tests.crypto_core.trail.records import NOW, denied, record, role, user
from tests.crypto_core.trail.rules.many_attacks import CONFIGURED, END, EVER, FOUND, HOSTILE, attacks
from tests.crypto_core.trail.rules.watching import ALIASES
from tests.crypto_core.trail.sources.engine_server import QUERY, serving
from tests.crypto_core.trail.sources.trino import TrinoServer, table_metadata

SETTINGS = AthenaSettings("audit.logs", "s3://results/keydeck/")
SINCE = END - timedelta(days=1)
RECORDS = list(attacks())
SCANNED = 1_000
READ = int(EventProperty.READ)


@pytest.fixture(scope="module")
def athena() -> Iterator[TrinoServer]:
    with serving(TrinoServer([*RECORDS, RECORDS[0]], table_metadata())) as server:
        server.states = [("SUCCEEDED", SCANNED)]
        server.prepare((KMS, CLOUDTRAIL, S3), RECORD_COLUMNS)
        yield server


@pytest.fixture(scope="module")
def kms(athena: TrinoServer) -> Iterator[KmsApi]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL_ATHENA", athena.url)
        patch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "unchecked")
        yield KmsApi(("eu-west-1",), attempts=1)


@pytest.fixture(scope="module")
def examinations(kms: KmsApi) -> AthenaExaminations:
    return AthenaExaminations(kms, SETTINGS, lambda: NOW, lambda: ALIASES, lambda _event, _seconds: None)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EventStore]:
    path = tmp_path_factory.mktemp("events") / "e.sqlite"
    made = EventStore(path, aliases=lambda: ALIASES, clock=lambda: NOW)
    made.add([one for one in map(read_record, RECORDS) if isinstance(one, TrailEvent)])
    yield made
    made.close()


def opened(examinations: AthenaExaminations, plan: ExaminationPlan) -> AthenaEvents:
    return examinations.open_events(plan, Consent.pressed(plan))


def test_findings_are_the_same_word_for_word(
    examinations: AthenaExaminations, athena: TrinoServer, store: EventStore
) -> None:
    events = opened(examinations, examinations.plan_examination(SINCE, END))
    engine = EngineRules(EngineHistory(events), CONFIGURED, lambda: ALIASES, clock=lambda: NOW)
    rules = TrailRules(store, CONFIGURED, aliases=lambda: ALIASES, clock=lambda: NOW)
    athena.asked.clear()
    its, mine = (one.examine_events(SINCE, END) for one in (rules, engine))
    assert mine.findings == its.findings
    assert mine.gaps == its.gaps
    assert {one.rule for one in mine.findings} >= FOUND
    started = athena.named("StartQueryExecution")
    assert len(started) == events.statements < MOST_STATEMENTS / 2
    assert all('"timestamp" >= ?' in one["QueryString"] for one in started)
    assert max(len(one["QueryString"]) for one in started) < 200_000  # Athena takes 262,144 bytes
    assert all("drop table" not in one["QueryString"].lower() for one in started)
    assert events.note.startswith(
        f"Athena ran {len(started)} statements and scanned {len(started)},000 bytes, "
    )


WHOLE = [
    *RECORDS[-9:-1],
    RECORDS[-2],
    *(one for one in RECORDS if (one.get("requestParameters") or {}).get("bucketName")),
    record(
        who=user(HOSTILE),
        userAgent=HOSTILE,
        ago=10,
        vpcEndpointId="vpce-1",
        tlsDetails={"tlsVersion": "TLSv1.3"},
    ),
    denied(who=role("prober"), errorMessage=HOSTILE),
    record(
        "Decrypt",
        who=role("thief", invokedBy="s3.amazonaws.com"),
        ago=11,
        sessionCredentialFromConsole="true",
    ),
]


@pytest.mark.usefixtures("kms")
def test_each_question_is_answered_as_the_store_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The statements as they are, over the table."""
    its = EventStore(tmp_path / "whole.sqlite", clock=lambda: NOW)
    its.add([one for one in map(read_record, WHOLE) if isinstance(one, TrailEvent)])
    with serving(TrinoServer(WHOLE, table_metadata())) as server:
        server.states = [("SUCCEEDED", SCANNED)]
        monkeypatch.setenv("AWS_ENDPOINT_URL_ATHENA", server.url)
        here = AthenaExaminations(KmsApi(("eu-west-1",), attempts=1), SETTINGS, lambda: NOW)
        asked = EngineHistory(opened(here, here.plan_examination(SINCE, END)))
        of_kms = has("source", KMS)
        told: list[list[object]] = []
        history: EventQuestions
        for history in (asked, History(its.file)):
            groups = history.groups(("principal", "agent", "key"), (of_kms,), EVER)
            wanted = (has("source", S3), has("name", "DeleteBucket"), has("param.bucketname", "trail-bucket"))
            deleted = history.events(wanted, EVER, limit=5)
            every = history.events((of_kms,), EVER, limit=50, newest_first=False)
            told.append([
                [(group.values, group.events) for group in groups],
                history.hourly((of_kms, like("principal", "*")), EVER),
                history.bursts((of_kms,), EVER, minutes=10, distinct="name"),
                history.split_by_token((of_kms,), EVER),
                (history.days(EVER), history.any(Span(NOW, None)), history.any(Span(None, SINCE))),
                history.first(),
                [request(one) for one in deleted],
                sorted((one.event_id, one.time, one.principal, one.source_ip, one.key_arns) for one in every),
                sorted((one.event_id, one.vpc_endpoint, one.tls_version, one.user_agent) for one in every),
                sorted((one.event_id, one.error_message, one.token_ref, marks(one) & ~READ) for one in every),
            ])  # fmt: skip
        for mine, known in zip(*told, strict=True):
            assert mine == known
        assert len(told[0][6]) == 1  # type: ignore[arg-type]
    its.close()


def test_what_it_may_cost_is_said_before_and_nothing_runs_without_consent(
    examinations: AthenaExaminations, athena: TrinoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = examinations.plan_examination(SINCE, END, most=10**9)
    assert (plan.danger, plan.scanned, plan.most) == (Danger.CONFIRM, None, 10**9)
    assert plan.remarks[0].startswith(
        "Athena: at most 300 statements over the window and 30 days before it; how much they scan is not "
        "known before; none runs beyond 1.0 GB together, 0.0050 USD."
    )
    assert any("A call with two records" in one for one in plan.remarks)
    other = examinations.plan_examination(SINCE - timedelta(days=1), END, most=10**9)
    athena.asked.clear()
    for consent in (None, Consent.pressed(other)):
        with pytest.raises(NotConfirmedError):
            examinations.open_events(plan, consent)
    reader = replace(examinations, kms=KmsApi(("eu-west-1",), attempts=1, read_only=True))
    with pytest.raises(ReadOnlyError, match="writes its results to S3"):
        EngineHistory(opened(reader, plan)).any(EVER)
    assert athena.named("StartQueryExecution") == []
    files: list[PullQuery] = []
    monkeypatch.setattr(
        Athena, "estimate", lambda _self, _of, asked, _cancelled: files.append(asked) or (5_000, [])
    )
    told = examinations.plan_examination(SINCE, END).remarks[0]
    assert "each scans up to 5.0 kB, all up to 3.0 GB, 0.0150 USD; none runs beyond 100.0 GB" in told
    assert (files[0].since, files[0].until) == (SINCE - timedelta(days=30), NOW)
    with pytest.raises(
        RefusedError, match=r"One statement would scan about 5\.0 kB; 4\.0 kB are allowed for all"
    ):
        examinations.plan_examination(SINCE, END, most=4_000)


def test_no_more_is_scanned_than_was_agreed_to_and_rules_that_would_are_gaps(
    examinations: AthenaExaminations, athena: TrinoServer
) -> None:
    plan = examinations.plan_examination(SINCE, END, most=20 * SCANNED)
    for limited in (plan, replace(plan, most=10**9, statements=20)):
        athena.asked.clear()
        events = opened(examinations, limited)
        engine = EngineRules(EngineHistory(events), CONFIGURED, lambda: ALIASES, clock=lambda: NOW)
        examined = engine.examine_events(SINCE, END)
        assert len(athena.named("StartQueryExecution")) == events.statements == 20
        assert 0 < len(examined.findings) < len(FOUND)
        told = [gap for gap in examined.gaps if "was not examined: Athena is asked no more: " in gap.reason]
        assert any(gap.hides.grave for gap in told)


def test_a_statement_that_scans_too_much_is_stopped_and_is_the_last(
    examinations: AthenaExaminations, athena: TrinoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(athena, "states", [("RUNNING", 10), ("RUNNING", 9_000)])
    athena.asked.clear()
    events = opened(examinations, examinations.plan_examination(SINCE, END, most=4_000))
    asked = EngineHistory(events)
    with pytest.raises(QueryLimitError, match="had scanned 9,000 bytes, 4,000 are allowed"):
        asked.days(EVER)
    assert athena.named("StopQueryExecution") == [{"QueryExecutionId": QUERY}]
    with pytest.raises(QueryLimitError, match=r"asked no more: 300 statements and 4\.0 kB are allowed"):
        asked.any(EVER)
    assert len(athena.named("StartQueryExecution")) == 1
    assert events.note == "Athena ran 1 statement and scanned 4,000 bytes, 0.0001 USD at list price."
    monkeypatch.setattr(athena, "states", [("FAILED", 10)])
    failed = opened(examinations, examinations.plan_examination(SINCE, END))
    with pytest.raises(TrailError, match="came to nothing"):
        EngineHistory(failed).any(EVER)
    assert failed.note.startswith("Athena ran 1 statement and scanned 0 bytes")


def test_the_days_of_a_question_are_all_that_is_scanned_and_history_ends(
    examinations: AthenaExaminations, athena: TrinoServer
) -> None:
    asked = EngineHistory(opened(examinations, examinations.plan_examination(SINCE, END)))
    athena.asked.clear()
    for span in (Span(SINCE, END), Span(None, SINCE), Span(SINCE, END)):
        asked.groups(("principal",), (), span)
    window, before = (one["ExecutionParameters"] for one in athena.named("StartQueryExecution"))
    assert {"'2026/11/24'", "'2026/11/26'"} <= set(window)
    assert {"'2026/10/25'", "'2026/11/25'"} <= set(before)
    with pytest.raises(InvalidFilterError, match=r"Athena can't be asked for a value of more than 400"):
        asked.groups(("name",), (has("agent", "x" * 401),), EVER)
    with pytest.raises(InvalidFilterError, match="Athena takes no statement that names so many values"):
        asked.groups(("name",), (has("principal", *(f"role/{n}" for n in range(3_000))),), EVER)

"""CloudTrail Lake: what it is asked, and how a query ends. Against a stand-in: no sandbox has it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from threading import Event
from typing import Any

import pytest

from console.sandbox.endpoint import PLATFORM
from crypto_core.errors import InterruptedRunError, KmsAccessDeniedError, SettingsError, TrailError
from crypto_core.guard.consent import Consent
from crypto_core.trail.sources.engines.engines import EngineSettings
from crypto_core.trail.sources.puller import EventPuller
from crypto_core.trail.sources.report import PullReport
from crypto_core.trail.store import EventStore
from tests.crypto_core.trail.records import KEY, NOW, context, record, user
from tests.crypto_core.trail.sources.amazon import HERE, THERE, WatchedAws, puller
from tests.crypto_core.trail.sources.engine_server import (
    QUERY,
    STORE,
    STORE_ARN,
    LakeServer,
    RefusedError,
    row_of,
    serving,
)

RECORDS = [
    record(ago=60),
    record("Encrypt", ago=120, awsRegion=THERE),
    record(ago=180, context=context("gh-42"), who=user()),
    record(ago=200_000),
]


def now() -> datetime:
    return NOW


@pytest.fixture
def lake() -> Iterator[LakeServer]:
    with serving(LakeServer([row_of(r, lake=True) for r in RECORDS])) as server:
        yield server


@pytest.fixture
def aws(lake: LakeServer, monkeypatch: pytest.MonkeyPatch) -> WatchedAws:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", PLATFORM)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "unchecked")
    return WatchedAws((HERE, THERE), endpoint_url=lake.url, attempts=1)


@pytest.fixture
def pull(aws: WatchedAws, store: EventStore) -> EventPuller:
    return puller(aws, store, now, regions=(HERE, THERE), engines=EngineSettings(lake_store=STORE_ARN))


def fetch(pull: EventPuller, expression: str = "", **more: Any) -> PullReport:
    plan = pull.plan_pull("lake", since=NOW - timedelta(days=1), expression=expression, **more)
    return pull.run_pull(plan, Consent.pressed(plan))


def test_the_rows_of_the_window_become_events(pull: EventPuller, store: EventStore) -> None:
    report = fetch(pull)
    assert (report.source, report.records, report.new, report.regions) == ("lake", 3, 3, (HERE, THERE))
    event = store.event(RECORDS[2]["eventID"]).event
    assert event.time == NOW - timedelta(seconds=180)
    assert str(event.token_ref) == "gh_connection.access_token:gh-42"
    assert (event.principal.name, event.key_arns) == ("user/intruder", (KEY,))
    assert fetch(pull).new == 0
    assert pull.plan_pull("lake").asked.since == NOW - timedelta(minutes=15)


def test_the_filter_and_the_regions_are_pushed_down(pull: EventPuller, lake: LakeServer) -> None:
    assert fetch(pull, "name:Encrypt -service").records == 1
    assert fetch(pull, regions=[HERE]).records == 2
    assert all(f"FROM {STORE} WHERE" in p["QueryStatement"] for p in lake.named("StartQuery"))


@pytest.mark.parametrize(
    "value", ["x'; DROP TABLE logs; --", "\\' OR 1=1", "' UNION SELECT 1 --", "a%' OR '%'='"], ids=range(4)
)
def test_a_hostile_value_stays_within_its_quotes(pull: EventPuller, lake: LakeServer, value: str) -> None:
    report = fetch(pull, f'name:"{value}"')
    (started,) = lake.named("StartQuery")
    assert f"lower(eventname) = '{value.lower().replace(chr(39), chr(39) * 2)}'" in started["QueryStatement"]
    assert report.records == 0


def test_a_question_that_is_too_long_is_refused_before_it_is_sent(
    pull: EventPuller, lake: LakeServer
) -> None:
    names = ",".join(f"{'x' * 300}{n}" for n in range(40))
    with pytest.raises(TrailError, match="too long for CloudTrail Lake"):
        pull.plan_pull("lake", since=NOW - timedelta(days=1), expression=f"name:{names}")
    assert lake.named("StartQuery") == []


def test_it_is_said_that_the_cost_is_not_known_before(pull: EventPuller, lake: LakeServer) -> None:
    lake.handlers["GetEventDataStore"] = lambda _parameters: {"Status": "PENDING\x1b[31m_DELETION"}
    plan = pull.plan_pull("lake", since=NOW - timedelta(days=1), max_bytes=2 * 10**9)
    assert plan.scanned is None
    assert any("how much it scans is not known before" in r for r in plan.remarks)
    assert any("stopped beyond 2.0 GB, 0.0100 USD" in r for r in plan.remarks)
    assert "The event data store is PENDING[31m_DELETION." in plan.remarks


def test_a_query_that_scans_too_much_is_stopped(pull: EventPuller, lake: LakeServer) -> None:
    lake.states = [("RUNNING", 10), ("RUNNING", 5_000)]
    with pytest.raises(TrailError, match="had scanned 5,000 bytes, 4,000 are allowed"):
        fetch(pull, max_bytes=4_000)
    assert lake.named("CancelQuery") == [{"QueryId": QUERY}]


def test_whoever_cancels_stops_the_query_even_if_that_fails(
    aws: WatchedAws, lake: LakeServer, store: EventStore
) -> None:
    def refuse(_parameters: dict[str, Any]) -> dict[str, Any]:
        raise RefusedError("AccessDeniedException", "no")

    lake.states, lake.handlers["CancelQuery"] = [("RUNNING", 10)], refuse
    cancelled = Event()
    pull = puller(
        aws,
        store,
        now,
        engines=EngineSettings(lake_store=STORE_ARN),
        rest=lambda _event, _seconds: cancelled.set(),
    )
    plan = pull.plan_pull("lake", since=NOW - timedelta(days=1))
    with pytest.raises(InterruptedRunError):
        pull.run_pull(plan, Consent.pressed(plan), cancelled=cancelled)
    assert len(lake.named("CancelQuery")) == 1


@pytest.mark.parametrize("state", ["FAILED", "CANCELLED", "TIMED_OUT"])
def test_a_query_that_fails_says_why(pull: EventPuller, lake: LakeServer, state: str) -> None:
    lake.states, lake.reason = [(state, 0)], "\x1b[2JUnexpected\u202e token"
    with pytest.raises(TrailError) as raised:
        fetch(pull)
    assert f"CloudTrail Lake's query came to nothing: {state}: [2JUnexpected token." in raised.value.message
    assert lake.named("CancelQuery") == []


def test_results_come_page_by_page(pull: EventPuller, lake: LakeServer) -> None:
    lake.rows = [row_of(record(ago=n), lake=True) for n in range(250)]
    lake.page = 100
    assert fetch(pull).new == 250
    assert [p.get("NextToken") for p in lake.named("GetQueryResults")] == [None, "000100", "000200"]


def test_a_denied_query_names_the_permission(pull: EventPuller, lake: LakeServer) -> None:
    def refuse(_parameters: dict[str, Any]) -> dict[str, Any]:
        raise RefusedError("AccessDeniedException", "not authorized to perform: cloudtrail:StartQuery")

    lake.handlers["StartQuery"] = refuse
    with pytest.raises(KmsAccessDeniedError) as raised:
        fetch(pull)
    assert raised.value.action == "cloudtrail:StartQuery"


@pytest.mark.parametrize(
    ("arn", "said"),
    [
        ("", "No event data store is set up"),
        (STORE, "is not an event data store"),
        (f"{STORE_ARN}; x", "is not an event"),
    ],
    ids=range(3),
)
def test_what_is_not_set_up_is_told_by_its_setting(
    aws: WatchedAws, store: EventStore, arn: str, said: str
) -> None:
    with pytest.raises(SettingsError, match=said) as raised:
        puller(aws, store, now, engines=EngineSettings(lake_store=arn)).plan_pull("lake")
    assert "KEYDECK_LAKE_STORE" in raised.value.remedy

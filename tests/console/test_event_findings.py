"""keydeck findings about events: list, suppress, OCSF, Sigma."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from console.container import Container
from console.sandbox.world import World
from crypto_core.findings.finding import Severity
from crypto_core.trail.store import EventStore
from tests.console.shapes import assert_shape
from tests.crypto_core.trail.records import read
from tests.crypto_core.trail.records import record as shaped

Keydeck = Callable[..., Any]
RULE = "event-key-disabled"


@pytest.fixture
def disabled(services: Container, environment: dict[str, str], world: World) -> str:
    """The key written under was disabled an hour ago, says CloudTrail; the id of that event."""
    at = datetime.now(UTC) - timedelta(hours=1)
    record = shaped(
        "DisableKey",
        key=world.current_key.arn,
        eventTime=at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        userAgent="[/red]\x1b[2J",
        requestParameters={"keyId": world.current_key.arn},
    )
    store = EventStore(Path(environment["KEYDECK_EVENTS_FILE"]))
    store.add([read(record)])
    store.close()
    return str(record["eventID"])


def mine(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The findings about events."""
    return [one for one in document["findings"] if one["rule"].startswith("event-")]


def test_findings_about_events_are_listed_beside_those_of_keys(
    keydeck: Keydeck, world: World, disabled: str
) -> None:
    ran = keydeck("findings", "--json")
    assert ran.exit_code == 1
    (found,) = mine(ran.json)
    assert found["rule"] == RULE
    assert found["severity"] == "high"
    assert found["subject"] == world.current_key.arn
    assert found["title"] == "role/platform disabled alias/tokens"
    assert found["events"] == [disabled]
    assert found["techniques"] == ["T1490"]
    assert found["sigma_id"]
    for one in ran.json["findings"]:
        assert_shape("finding", one)
    (row,) = keydeck("events", "list", "--json", "--filter", f"id:{disabled}").json["events"]
    for event in (row, keydeck("events", "show", disabled, "--json").json):
        assert_shape("event", event)
    assert len(ran.json["findings"]) > 1
    assert ran.json["suppressed"] == 0
    assert any("no baseline yet" in reason for reason in ran.json["coverage"]["reasons"])
    text = keydeck("findings").stdout
    assert "high     role/platform disabled alias/tokens" in text
    assert "ATT&CK    T1490 Inhibit System Recovery" in text
    assert f"events    {disabled}" in text


def test_the_window_is_the_last_day_unless_said_otherwise(keydeck: Keydeck, disabled: str) -> None:
    del disabled
    ran = keydeck("findings", "--json", "--since", "30m")
    assert mine(ran.json) == []
    assert any("the store has none since" in reason for reason in ran.json["coverage"]["reasons"])
    assert len(mine(keydeck("findings", "--json", "--since", "2h").json)) == 1
    assert mine(keydeck("findings", "--json", "--since", "2h", "--until", "90m").json) == []
    for wrong in ("yesterday", '2h" name:x "', ""):
        assert keydeck("findings", "--since", wrong).exit_code == 2


@pytest.mark.deep
def test_a_finding_is_suppressed_counted_listed_and_told_again(keydeck: Keydeck, disabled: str) -> None:
    del disabled
    ran = keydeck("findings", "suppress", RULE, "--reason", "planned", "--days", "7")
    assert (ran.exit_code, ran.stdout.split(":")[0]) == (0, "Suppression 1")
    ran = keydeck("findings", "--json")
    assert (mine(ran.json), ran.json["suppressed"]) == ([], 1)
    assert "Suppressed: 1." in keydeck("findings").stderr
    ran = keydeck("findings", "--json", "--suppressed")
    (hidden,) = ran.json["suppressed_findings"]
    assert (hidden["finding"]["rule"], hidden["suppression"]["reason"]) == (RULE, "planned")
    assert hidden["suppression"]["by"]
    assert "planned (by" in keydeck("findings", "--suppressed").stdout
    (listed,) = keydeck("findings", "suppressions", "--json").json["suppressions"]
    assert listed["rule"] == RULE
    assert "planned" in keydeck("findings", "suppressions").stdout
    assert keydeck("findings", "unsuppress", "1").exit_code == 0
    assert keydeck("findings", "unsuppress", "1").exit_code != 0
    assert len(mine(keydeck("findings", "--json").json)) == 1
    assert keydeck("findings", "suppressions").stdout == "No suppressions.\n"


@pytest.mark.usefixtures("services")
def test_findings_about_keys_are_suppressed_alike(keydeck: Keydeck, world: World) -> None:
    before = keydeck("findings", "--json").json["findings"]
    arguments = ("--subject", world.old_key.arn, "--reason", "moving", "--days", "30")
    assert keydeck("findings", "suppress", "kms-material-old", *arguments).exit_code == 0
    ran = keydeck("findings", "--json")
    gone = [f for f in before if f not in ran.json["findings"]]
    assert [(f["rule"], f["subject"]) for f in gone] == [("kms-material-old", world.old_key.arn)]
    assert ran.json["suppressed"] == 1


def test_suppressing_is_refused_read_only_and_without_a_journal(keydeck: Keydeck) -> None:
    arguments = ("suppress", RULE, "--reason", "planned", "--days", "7")
    refused = keydeck("--read-only", "findings", *arguments)
    assert (refused.exit_code, "read-only mode" in refused.stderr) == (2, True)
    unjournaled = keydeck("findings", *arguments)
    assert (unjournaled.exit_code, "keydeck init" in unjournaled.stderr) == (3, True)
    assert keydeck("findings", "suppressions").stdout == "No suppressions.\n"
    assert keydeck("init").exit_code == 0
    assert keydeck("findings", *arguments).exit_code == 0
    listed = keydeck("journal", "list", "--json").json["entries"]
    assert [e["outcome"] for e in listed if e["action"] == "findings suppress"] == ["done"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("--reason", "why"),
        ("--days", "7"),
        ("--reason", "why", "--days", "0"),
        ("--reason", "why", "--days", "400"),
    ],
)
def test_a_suppression_without_reason_or_end_is_wrong_usage(
    keydeck: Keydeck, arguments: tuple[str, ...]
) -> None:
    assert keydeck("findings", "suppress", RULE, *arguments).exit_code == 2


def test_ocsf_is_one_finding_a_line(keydeck: Keydeck, disabled: str) -> None:
    ran = keydeck("findings", "--ocsf")
    assert ran.exit_code == 1
    lines = [json.loads(line) for line in ran.stdout.splitlines()]
    events = [line["finding_info"]["analytic"]["uid"].startswith("event-") for line in lines]
    assert [line["class_uid"] for line in lines] == [2004 if one else 2003 for one in events]
    assert set(events) == {True, False}
    (one,) = [line for line in lines if line["finding_info"]["analytic"]["uid"] == RULE]
    assert one["evidences"][0]["data"]["event_id"] == disabled
    assert one["evidences"][0]["api"]["operation"] == "DisableKey"
    assert "\x1b" not in ran.stdout
    keydeck("findings", "suppress", RULE, "--reason", "planned", "--days", "7")
    with_it = keydeck("findings", "--ocsf", "--suppressed").stdout.splitlines()
    (one,) = [json.loads(line) for line in with_it if RULE in line]
    assert (one["status_id"], one["status"]) == (3, "Suppressed")


def test_rules_are_listed_the_worst_first_without_asking_anybody(
    keydeck: Keydeck, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    listed = keydeck("findings", "rules", "--json").json["rules"]
    ranks = [Severity(one["severity"]).rank for one in listed]
    assert ranks == sorted(ranks)
    assert {"kms-rotation-off", "trail-none", RULE} <= {one["rule"] for one in listed}
    text = keydeck("findings", "rules").stdout
    assert all(one["title"] in text for one in listed)


def test_sigma_rules_have_the_configured_keys_and_ask_nobody(
    keydeck: Keydeck, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    yaml = pytest.importorskip("yaml")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    ran = keydeck("findings", "--sigma")
    assert ran.exit_code == 0
    told = list(yaml.safe_load_all(ran.stdout))
    (disabled,) = [one for one in told if one["title"] == "KMS key disabled"]
    configured = sorted([world.current_key.arn, world.old_key.arn])
    assert {"resources.ARN": configured} in disabled["detection"]["keys"]
    assert not any("retired" in one["title"] for one in told)
    assert "Left out: event-retired-key: KEYDECK_RETIRED_KEYS names no key" in ran.stderr
    assert "Left out: event-bulk-tokens: many is" in ran.stderr
    assert keydeck("findings", "--sigma", "--json").exit_code == 2


def test_a_damaged_store_hides_no_finding_about_keys(keydeck: Keydeck, environment: dict[str, str]) -> None:
    Path(environment["KEYDECK_EVENTS_FILE"]).write_bytes(b"no store" * 1_000)
    ran = keydeck("findings", "--json")
    assert ran.exit_code == 1
    assert ran.json["findings"]
    assert any("CloudTrail events: The event store" in reason for reason in ran.json["coverage"]["reasons"])


def test_new_findings_are_told_once_and_need_neither_database_nor_aws(
    keydeck: Keydeck, disabled: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DATABASE_URL", "KEYDECK_STATE_URL", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    first = keydeck("findings", "--new", "--json")
    assert first.exit_code == 1, first.stderr
    (found,) = mine(first.json)
    assert found["events"] == [disabled]
    again = keydeck("findings", "--new", "--json")
    assert (again.exit_code, mine(again.json)) == (3, [])
    assert any("none has come" in reason for reason in again.json["coverage"]["reasons"])
    # What was told stands: only --new leaves it out.
    stands = keydeck("findings", "--json")
    assert len(mine(stands.json)) == 1
    assert any("no database is configured" in reason for reason in stands.json["coverage"]["reasons"])
    assert keydeck("findings", "--sigma").exit_code == 0
    assert keydeck("findings", "--new", "--since", "2h").exit_code == 2


def test_where_aws_does_not_answer_the_stored_events_are_examined_all_the_same(
    keydeck: Keydeck, disabled: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    ran = keydeck("findings", "--json")
    assert ran.exit_code == 1
    assert [one["events"] for one in mine(ran.json)] == [[disabled]]
    assert any("Keys, access and trails are not examined" in r for r in ran.json["coverage"]["reasons"])

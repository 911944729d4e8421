"""keydeck events list, show, pivot, review, token, principal, watch: as commands."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from console import capabilities
from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World
from crypto_core.envelope import Format
from crypto_core.trail.event import TrailEvent
from crypto_core.trail.store import EventStore
from tests.conftest import Ran
from tests.crypto_core.trail.records import (
    KEY,
    OTHER_KEY,
    S3_CONTEXT,
    context,
    denied,
    event,
    read,
    record,
    role,
    user,
)

Keydeck = Callable[..., Ran]
ROOT = Path(__file__).parents[2]
BASE = datetime.now(UTC).replace(microsecond=0)


def made(ago: float = 0, **more: Any) -> TrailEvent:
    """An event so many seconds before now."""
    return event(eventTime=(BASE - timedelta(seconds=ago)).strftime("%Y-%m-%dT%H:%M:%SZ"), **more)


@pytest.fixture
def store(environment: dict[str, str]) -> Iterator[EventStore]:
    opened = EventStore(Path(environment["KEYDECK_EVENTS_FILE"]))
    yield opened
    opened.close()


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    """No database, and an AWS that nobody may ask."""
    monkeypatch.delenv("DATABASE_URL")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")


SERVICE = {"userIdentity": {"type": "AWSService", "invokedBy": "backup.amazonaws.com"}}
SERVICE |= {"sourceIPAddress": "backup.amazonaws.com", "context": S3_CONTEXT}


def test_list_needs_neither_database_nor_aws_and_hides_services(
    alone: None, store: EventStore, keydeck: Keydeck
) -> None:
    store.add([made(5), made(9, context=context("gh-42"), who=user()), made(7, **SERVICE)])
    found = keydeck("events", "list", "--json")
    assert found.exit_code == 0, found.stderr
    document = found.json
    assert document["hidden_service_events"] == 1
    assert [e["time"] for e in document["events"]] == [
        (BASE - timedelta(seconds=ago)).isoformat() for ago in (5, 9)
    ]
    one = document["events"][1]
    assert one["token_ref"] == "gh_connection.access_token:gh-42"
    assert one["principal"].endswith("user/intruder")
    assert set(one) >= {
        *("event_id", "time", "name", "source", "principal", "source_ip", "user_agent", "error_code"),
        *("key_arns", "token_ref", "region"),
    }
    assert len(keydeck("events", "list", "--json", "--all").json["events"]) == 3
    assert len(keydeck("events", "list", "--json", "--service").json["events"]) == 3
    assert len(keydeck("events", "list", "--json", "--filter", "service").json["events"]) == 1
    assert "1 event of AWS services not shown" in keydeck("events", "list").stderr


def test_list_says_what_the_limit_cuts_off(alone: None, store: EventStore, keydeck: Keydeck) -> None:
    store.add([made(n) for n in range(230)])
    found = keydeck("events", "list", "--json")
    assert len(found.json["events"]) == 200
    assert not found.json["coverage"]["complete"]
    assert "--limit: 200 of 230 events" in found.json["coverage"]["reasons"]
    assert "200 of 230 events." in keydeck("events", "list").stderr
    for limit, expected in (("0", 230), ("7", 7), ("1000", 230)):
        listed = keydeck("events", "list", "--json", "--limit", limit, "--oldest-first").json
        assert len(listed["events"]) == expected
        assert listed["events"] == sorted(listed["events"], key=lambda e: e["time"])
        assert any("--limit" in r for r in listed["coverage"]["reasons"]) is (limit == "7")


def test_an_empty_store_is_no_all_clear(alone: None, keydeck: Keydeck) -> None:
    found = keydeck("events", "list", "--json")
    assert (found.exit_code, found.json["events"]) == (0, [])
    assert "The store holds no events" in found.json["coverage"]["reasons"][0]


def test_since_and_until_bound_the_list(alone: None, store: EventStore, keydeck: Keydeck) -> None:
    store.add([made(60), made(7_200), made(90_000)])
    assert len(keydeck("events", "list", "--json", "--since", "1h").json["events"]) == 1
    assert len(keydeck("events", "list", "--json", "--since", "1d", "--until", "1h").json["events"]) == 1
    day = (BASE - timedelta(seconds=90_000)).strftime("%Y-%m-%d")
    assert keydeck("events", "list", "--json", "--until", day).json["events"]
    for wrong in ("2 h", "yesterday", "1h,2h", '"1h"', "2026-13-01"):
        refused = keydeck("events", "list", "--since", wrong)
        assert refused.exit_code == 2, wrong
        assert refused.stdout == ""


def test_a_filter_that_cannot_be_read_points_at_the_character(
    alone: None, store: EventStore, keydeck: Keydeck
) -> None:
    refused = keydeck("events", "list", "--filter", "name:Decrypt nome:x", "--since", "1h")
    assert refused.exit_code == 2
    assert "character 14" in refused.stderr


def test_csv_is_inert_and_has_every_event(alone: None, store: EventStore, keydeck: Keydeck) -> None:
    store.add([made(1, userAgent="=HYPERLINK(1)"), made(2)])
    rows = list(csv.DictReader(io.StringIO(keydeck("events", "list", "--csv").stdout)))
    assert [r["user_agent"][:2] for r in rows] == ["'=", "Bo"]
    assert keydeck("events", "list", "--csv", "--json").exit_code == 2


def test_a_key_is_found_by_alias_if_aws_tells_it(
    environment: dict[str, str], store: EventStore, world: World, keydeck: Keydeck
) -> None:
    store.add([made(1, key=world.current_key.arn), made(2)])
    found = keydeck("events", "list", "--json", "--filter", f"key:{world.current_key.alias}")
    assert [e["key_arns"] for e in found.json["events"]] == [[world.current_key.arn]]


def test_without_aws_an_alias_that_is_asked_for_is_a_gap(
    alone: None, store: EventStore, keydeck: Keydeck
) -> None:
    store.add([made(1)])
    found = keydeck("events", "list", "--json", "--filter", "key:alias/tokens")
    assert found.exit_code == 0
    assert any("aliases" in reason for reason in found.json["coverage"]["reasons"])


def test_show_gives_the_record_as_it_came(alone: None, store: EventStore, keydeck: Keydeck) -> None:
    source = record(userAgent="é\u202e[/red]")
    one = read(source)
    store.add([one])
    shown = keydeck("events", "show", one.event_id, "--json").json
    assert shown["record"] == source
    assert shown["event_id"] == one.event_id
    raw = keydeck("events", "show", one.event_id, "--raw").stdout
    assert json.loads(raw) == source
    assert raw.isascii()
    text = keydeck("events", "show", one.event_id).stdout
    assert "[/red]" in text
    assert "\u202e" not in text
    missing = keydeck("events", "show", "no-such-event")
    assert missing.exit_code == 2
    assert "no-such-event" in missing.stderr


def test_pivot_counts_values_and_says_what_it_left_out(
    alone: None, store: EventStore, keydeck: Keydeck
) -> None:
    store.add([made(n, who=role(f"r{n % 3}")) for n in range(7)] + [made(9, **SERVICE)])
    found = keydeck("events", "pivot", "principal", "--json").json
    assert [v["events"] for v in found["values"]] == [3, 2, 2]
    assert found["values"][0]["last"] == BASE.isoformat()
    assert found["hidden_service_events"] == 1
    cut = keydeck("events", "pivot", "principal", "--json", "--limit", "1").json
    assert (len(cut["values"]), cut["others"], cut["rest"]) == (1, 2, 4)
    assert not cut["coverage"]["complete"]
    rows = csv.DictReader(io.StringIO(keydeck("events", "pivot", "principal", "--csv").stdout))
    assert [(row["value"], row["events"]) for row in rows] == [
        (value["value"], str(value["events"])) for value in found["values"]
    ]
    assert keydeck("events", "pivot", "raw").exit_code == 2


def test_pivot_counts_an_event_about_two_keys_for_each(
    alone: None, store: EventStore, keydeck: Keydeck
) -> None:
    both = [{"type": "AWS::KMS::Key", "ARN": arn} for arn in (KEY, OTHER_KEY)]
    store.add([made(1), made(2, resources=both)])
    found = keydeck("events", "pivot", "key", "--json").json
    assert {v["value"]: v["events"] for v in found["values"]} == {KEY: 2, OTHER_KEY: 1}


def test_review_marks_notes_and_takes_back(alone: None, store: EventStore, keydeck: Keydeck) -> None:
    one, two = made(1), made(2)
    store.add([one, two])
    done = keydeck("events", "review", one.event_id, two.event_id, "--note", "asked Ana [/red]\x1b[2J")
    assert done.exit_code == 0, done.stderr
    listed = keydeck("events", "list", "--json", "--filter", "reviewed").json["events"]
    assert {e["note"] for e in listed} == {"asked Ana [/red][2J"}
    assert keydeck("events", "review", one.event_id, "--undo", "--note", "").exit_code == 0
    assert [
        e["event_id"] for e in keydeck("events", "list", "--json", "--filter", "reviewed").json["events"]
    ] == [two.event_id]
    missing = keydeck("events", "review", one.event_id, "nope")
    assert missing.exit_code == 2
    assert len(keydeck("events", "list", "--json", "--filter", "reviewed").json["events"]) == 1


def test_token_of_v1_says_that_cloudtrail_cannot_name_it(
    services: object, store: EventStore, world: World, keydeck: Keydeck
) -> None:
    refs = world.sealed_under(world.current_key)
    ref = next(r for r in refs if world.tokens[r].format is Format.V1)
    material = world.tokens[ref].key_material_id
    opening = {"key": world.current_key.arn, "additionalEventData": {"keyMaterialId": material}}
    store.add([made(5, who=user(), **opening), made(6, context=context("other"), **opening)])
    document = keydeck("events", "token", str(ref), "--json").json
    assert document["format"] == "v1"
    assert document["exact"]["events"] == 0
    (could,) = document["could_have_opened"]
    assert could["calls"] == 1
    assert could["by"][0]["principal"].endswith("user/intruder")
    assert any("can't name this token" in s for s in document["statements"])
    text = keydeck("events", "token", str(ref)).stdout
    assert "never exact" in text
    assert "user/intruder" in text
    row = keydeck("events", "token", f"{ref.table}:{ref.row_id}", "--json").json
    assert str(ref) in {t["reference"] for t in row["tokens"]}


@pytest.mark.deep
def test_principal_tells_facts_from_what_could_have_been(
    services: object, store: EventStore, world: World, keydeck: Keydeck
) -> None:
    material = world.current_key.material_ids[-1]
    opening = {"key": world.current_key.arn, "additionalEventData": {"keyMaterialId": material}}
    named = made(6, who=user(), context=context("x'; touch pwned; '"), **opening)
    store.add([made(5, who=user(), **opening), named, read(denied(who=user()))])
    document = keydeck("events", "principal", "intruder", "--json").json
    assert document["opened"]["tokens"] == 1
    assert document["could_have_opened"]["calls"] == 1
    assert document["could_have_opened"]["tokens"] > 1
    assert document["could_have_opened"]["opened_at_most"] == 1
    assert document["denied"] == 1
    listed = keydeck(
        "connections", "--json", "--filter", document["could_have_opened"]["rows"][0]["filter"]
    ).json
    assert listed["total"] == document["could_have_opened"]["rows"][0]["tokens"]
    text = keydeck("events", "principal", "intruder")
    assert text.exit_code == 0, text.stderr
    assert "opened (facts" in text.stdout
    assert "could have opened (v1, never exact)" in text.stdout


@pytest.mark.parametrize("quiet", [(), ("--quiet", "1h")])
def test_watch_once_exits_1_at_a_use(
    services: object, store: EventStore, keydeck: Keydeck, quiet: tuple[str, ...]
) -> None:
    store.add([made(60, who=user()), made(50, key=OTHER_KEY)])
    found = keydeck("events", "watch", "--key", KEY, "--since", "1h", "--once", "--no-pull", *quiet)
    assert found.exit_code == 1, found.stderr
    assert "user/intruder" in found.stdout
    assert len(found.stdout.splitlines()) == 1


def test_watch_that_cannot_tell_claims_no_quiet(
    services: object, store: EventStore, keydeck: Keydeck
) -> None:
    store.add([made(9_000)])
    arguments = ("events", "watch", "--key", KEY, "--since", "1h", "--once", "--no-pull")
    found = keydeck(*arguments, "--quiet", "10m", "--json")
    assert found.exit_code == 3
    line = json.loads(found.stdout)
    assert line["quiet"] is False
    assert not line["coverage"]["complete"]
    assert keydeck(*arguments).exit_code == 0
    assert "don't cover the whole time" in keydeck(*arguments).stderr


@pytest.mark.deep
def test_watch_in_the_sandbox_as_a_process_ends_at_once_when_interrupted(
    sandbox: Sandbox, environment: dict[str, str], services: object, store: EventStore
) -> None:
    store.add([made(60)])
    child = subprocess.Popen(
        [sys.executable, "-m", "console", *("events", "watch", "--key", KEY, "--since", "1h", "--json")],
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stdout is not None
        first, look = json.loads(child.stdout.readline()), json.loads(child.stdout.readline())
        assert (first["type"], look["type"]) == ("use", "look")
        child.send_signal(signal.SIGINT)
        # It waits a minute between two looks: ending before that is ending at once.
        _, errors = child.communicate(timeout=30)
    finally:
        child.kill()
    assert child.returncode == 130, errors


def test_watch_refuses_what_it_cannot_read(services: object, keydeck: Keydeck) -> None:
    for wrong in (("--quiet", "soon"), ("--quiet", "0h"), ("--every", "1"), ("--since", "x y")):
        assert keydeck("events", "watch", "--key", KEY, "--once", *wrong).exit_code == 2
    assert keydeck("events", "watch", "--key", "not a key", "--once").exit_code == 2


def test_stats_counts_by_fields_and_the_clock(alone: None, store: EventStore, keydeck: Keydeck) -> None:
    by_ana = {"who": user("ana"), "context": context("gh-1")}
    store.add([made(n, **by_ana) for n in range(3)] + [made(n, who=user("\x1b[31m[/red]")) for n in range(2)])
    store.add([made(9, context=context("gh-2"), who=user("ana")), made(7, **SERVICE)])
    asked = ("events", "stats", "--by", "principal,day", "--distinct", "token", "--since", "2d")
    document = keydeck(*asked, "--json").json
    assert [
        (row["principal"].rsplit("/")[-1], row["count"], row["distinct"]) for row in document["rows"]
    ] == [("ana", 4, 2), ("red]", 2, 0)]
    assert document["by"] == ["principal", "day"]
    assert document["hidden_service_events"] == 1
    assert document["rows"][0]["last"] == BASE.isoformat()
    assert "\x1b" not in keydeck(*asked).stdout
    cut = keydeck(*asked, "--limit", "1")
    assert "--limit: 1 group more, with 2 events" in cut.stderr
    assert keydeck(*asked, "--limit", "1", "--json").json["others"] == 1
    few = keydeck(*asked, "--having", "count>3", "--having", "distinct=2", "--csv")
    assert few.exit_code == 0
    (row,) = csv.DictReader(io.StringIO(few.stdout))
    assert (row["count"], row["distinct"], row["failed"]) == ("4", "2", "0")
    for wrong, said in (
        (("--by", "principal,when"), "There is no field 'when'"),
        (("--by", "hour,hour"), "each field once"),
        (("--by", "hour", "--having", "count>many"), "write count>100"),
        (("--by", "hour", "--having", "distinct>1"), "--distinct"),
        (("--by", "hour", "--filter", "name=Decrypt"), "Write name:Decrypt."),
        (("--by", "hour", "--json", "--csv"), "--json or --csv"),
    ):
        refused = keydeck("events", "stats", *wrong)
        assert refused.exit_code == 2
        assert said in refused.stderr


@pytest.mark.parametrize("command", ["list", "stats --by name", "pivot name"])
def test_a_filter_with_an_or_is_taken_as_a_whole(
    alone: None, store: EventStore, keydeck: Keydeck, command: str
) -> None:
    """What options add holds for all of it, not for its last part alone."""
    store.add([made(5), made(90_000), made(6, **SERVICE), made(7, name="Encrypt"), made(8, name="Sign")])
    wanted = ("--filter", "name:Decrypt OR name:Encrypt OR service", "--since", "1h", "--json")
    document = keydeck("events", *command.split(), *wanted).json
    rows = document.get("events") or document.get("rows") or document["values"]
    assert sum(row.get("count", row.get("events", 1)) for row in rows) == 3


@pytest.mark.parametrize("expression", ["name:Decrypt or name:Encrypt", "ip:10.0.0.0/33", "a | b", "(a"])
def test_what_is_misunderstood_is_no_empty_list(
    alone: None, store: EventStore, keydeck: Keydeck, expression: str
) -> None:
    refused = keydeck("events", "list", "--filter", expression)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "Filter, character" in refused.stderr


def test_without_providers_logs_a_token_and_the_store_say_so_and_count_nothing(
    store: EventStore, keydeck: Keydeck, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capabilities, "manifests", tuple)
    left_out = (
        "keydeck events provider is not installed: this installation leaves the capability forensics out."
    )
    ref = str(next(iter(world.tokens)))
    told = keydeck("events", "token", ref)
    assert told.exit_code == 0
    assert f"What was done with it is not known: {left_out}" in told.stderr
    assert "opened and used" not in told.stdout
    document = keydeck("events", "token", ref, "--json")
    assert ("use" in document.json, left_out in document.stderr) == (False, True)
    forgotten = keydeck("events", "vacuum", "--yes")
    assert f"Providers' events are left as they are: {left_out}" in forgotten.stderr
    document = keydeck("events", "vacuum", "--json").json
    assert (document["forgotten"], "forgotten_of_providers" in document) == (0, False)

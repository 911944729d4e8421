"""keydeck events pull: what it prints, how it ends, and what it says when something is missing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from console.commands.questions import query_consent
from console.sandbox.endpoint import ON_CALL, Denial, Fault, PastCall
from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World
from crypto_core.guard.consent import Danger
from crypto_core.trail.store import EventStore
from crypto_core.values.errors import NotConfirmedError
from tests.conftest import Ran

pytestmark = pytest.mark.usefixtures("unhurried")

Keydeck = Callable[..., Ran]
ROOT = Path(__file__).parents[2]
HOSTILE = "\x1b]0;owned\x07[bold]OK[/]\u202e because nobody may"


@pytest.fixture
def since(sandbox: Sandbox, world: World) -> str:
    """A moment some months ago; in the minutes after it, three tokens were opened."""
    # Every test has its own: what happened is there to stay.
    _AGO[0] -= timedelta(hours=1)
    begin = datetime.now(UTC).replace(microsecond=0) - timedelta(days=60) + _AGO[0]
    calls = [
        PastCall(begin + timedelta(minutes=n), ON_CALL, "Decrypt", world.current_key.arn) for n in range(3)
    ]
    sandbox.control.history(calls)
    return begin.strftime("%Y-%m-%dT%H:%M:%SZ")


_AGO = [timedelta(0)]


def later(since: str, **span: float) -> str:
    moment = datetime.fromisoformat(since) + timedelta(**span)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def window(since: str) -> tuple[str, ...]:
    return ("--since", since, "--until", later(since, minutes=30))


def stored(environment: dict[str, str]) -> int:
    store = EventStore(Path(environment["KEYDECK_EVENTS_FILE"]))
    count = store.summary("name:Decrypt").events
    store.close()
    return count


def test_it_says_what_it_fetches_and_what_came(
    environment: dict[str, str], keydeck: Keydeck, since: str
) -> None:
    found = keydeck("events", "pull", *window(since))
    assert found.exit_code == 0, found.stderr
    assert found.stdout == "3 new events, 0 there already, 3 of KMS; 3 records in 4 pages.\n"
    begin, end = (m.replace("T", " ")[:16] for m in (since, later(since, minutes=30)))
    assert f"Fetching from {begin} to {end} UTC by lookup in eu-west-1." in found.stderr
    assert "eu-west-1: 1 page, " in found.stderr
    assert stored(environment) == 3
    again = keydeck("events", "pull", *window(since))
    assert again.stdout.startswith("0 new events, 3 there already")


def test_json_is_one_document_with_the_coverage_record(keydeck: Keydeck, since: str) -> None:
    found = keydeck("events", "pull", *window(since), "--json")
    assert found.exit_code == 0, found.stderr
    nothing = {
        "files": 0,
        "receipts": 0,
        "new": 0,
        "duplicates": 0,
        "explained": 0,
        "lost": 0,
        "passed_over": 0,
        "malformed": 0,
        "gaps": [],
    }
    assert found.json == {
        "source": "lookup",
        "regions": ["eu-west-1"],
        "accounts": ["123456789012"],
        "since": since.replace("Z", "+00:00"),
        "until": later(since, minutes=30).replace("Z", "+00:00"),
        "pages": 4,
        "records": 3,
        "new": 3,
        "duplicates": 0,
        "kms": 3,
        "throttled": 0,
        "notes": [],
        "receipts": nothing,
        "coverage": {"complete": True, "reasons": []},
    }
    listed = keydeck("events", "list", "--json", *window(since))
    assert len(listed.json["events"]) == 3
    assert not any("not fetched" in reason for reason in listed.json["coverage"]["reasons"])


def test_without_since_the_next_pull_begins_where_the_last_one_ended(
    sandbox: Sandbox, world: World, keydeck: Keydeck, since: str
) -> None:
    keydeck("events", "pull", *window(since))
    sandbox.control.history(
        [
            PastCall(
                datetime.fromisoformat(later(since, minutes=40)),
                ON_CALL,
                "Encrypt",
                world.current_key.arn,
            )
        ]
    )
    found = keydeck("events", "pull", "--until", later(since, minutes=50), "--json")
    assert found.json["since"] == later(since, minutes=30).replace("Z", "+00:00")
    assert (found.json["new"], found.json["duplicates"]) == (1, 0)


def test_a_filter_and_an_attribute_narrow_what_is_kept(keydeck: Keydeck, since: str) -> None:
    found = keydeck("events", "pull", *window(since), "--filter", "name:Encrypt", "--json")
    assert (found.json["records"], found.json["new"]) == (3, 0)
    found = keydeck("events", "pull", *window(since), "--attribute", "EventName=Encrypt", "--json")
    assert (found.json["records"], found.json["pages"]) == (0, 1)


def test_what_is_missing_is_told_and_the_exit_code_is_1(
    sandbox: Sandbox, keydeck: Keydeck, environment: dict[str, str], since: str
) -> None:
    sandbox.control.deliver()
    sandbox.control.add_denial(Denial("*", "s3:GetObject", "*"))
    found = keydeck("events", "pull", "--from", "s3", *window(since))
    assert found.exit_code == 1
    assert found.stdout.startswith("0 new events")
    missing = [line for line in found.stderr.splitlines() if line.startswith("Not covered: s3://")]
    assert missing
    assert all(line.endswith(".json.gz: s3:GetObject is not allowed.") for line in missing)
    sandbox.control.clear()
    found = keydeck("events", "pull", "--from", "s3", *window(since), "--json")
    assert (found.exit_code, found.json["coverage"]["complete"]) == (0, True), found.stderr
    assert stored(environment) >= 3


@pytest.mark.parametrize("as_json", [(), ("--json",)], ids=["text", "json"])
def test_aws_that_refuses_everything_is_exit_code_3_and_its_text_is_harmless(
    sandbox: Sandbox, keydeck: Keydeck, as_json: tuple[str, ...]
) -> None:
    sandbox.control.add_denial(Denial("*", "cloudtrail:LookupEvents", "*", HOSTILE))
    found = keydeck("events", "pull", "--since", "1h", *as_json)
    assert (found.exit_code, found.stdout) == (3, "")
    assert "Access denied: cloudtrail:LookupEvents" in found.stderr
    assert "Allow cloudtrail:LookupEvents for this identity in its IAM policy." in found.stderr
    assert "because nobody may" in found.stderr
    assert not set("\x1b\x07\u202e") & set(found.stderr)


def test_throttling_is_waited_out_and_told(sandbox: Sandbox, keydeck: Keydeck, since: str) -> None:
    sandbox.control.add_fault(Fault("LookupEvents", "ThrottlingException", count=1))
    found = keydeck("events", "pull", *window(since))
    assert found.exit_code == 0
    assert found.stdout.endswith("throttled 1 times.\n")


def test_ninety_days_are_told_before_and_after(keydeck: Keydeck) -> None:
    found = keydeck("events", "pull", "--since", "120d", "--until", "100d")
    assert found.exit_code == 1
    assert "LookupEvents goes back 90 days." in found.stderr
    assert "Not covered: LookupEvents goes back 90 days: nothing from before" in found.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--from", "nowhere"), "There is no source 'nowhere'"),
        (("--from", "s3://UPPER"), "is not an S3 address"),
        (("--validate",), "use it with --from s3"),
        (("--attribute", "Decrypt"), "--attribute is NAME=VALUE"),
        (("--attribute", "ErrorCode=x"), "LookupEvents knows no attribute 'ErrorCode'"),
        (("--from", "s3", "--attribute", "EventName=Decrypt"), "Only LookupEvents takes an attribute"),
        (("--max-bytes", "5"), "Only a query is limited by what it scans"),
        (("--max-bytes", "0"), "--max-bytes"),
        (("--since", "soon"), "--since"),
        (("--since", "1h,2h"), "--since"),
        (("--until", "x y"), "--until"),
        (("--since", "1h", "--until", "2h"), "The window ends before it begins"),
        (("--filter", "nome:x"), "There is no field 'nome'"),
    ],
    ids=range(13),
)
def test_what_cannot_be_done_is_exit_code_2(keydeck: Keydeck, arguments: tuple[str, ...], said: str) -> None:
    found = keydeck("events", "pull", *arguments)
    assert (found.exit_code, found.stdout) == (2, "")
    assert said in found.stderr


def test_the_buckets_files_are_validated(
    sandbox: Sandbox, keydeck: Keydeck, since: str, environment: dict[str, str]
) -> None:
    sandbox.control.deliver()
    arguments = ("events", "pull", "--from", "s3", "--since", "30s", "--region", "eu-west-1", "--validate")
    found = keydeck(*arguments)
    assert found.exit_code == 0, found.stderr
    assert "Validation: " in found.stdout
    assert " 0 invalid, 0 missing; " in found.stdout
    document = keydeck(*arguments, "--json").json
    assert document["validation"]["well"]
    assert document["validation"]["digests"]["valid"] >= 1
    sandbox.control.add_denial(Denial("*", "cloudtrail:ListPublicKeys", "*", HOSTILE))
    found = keydeck(*arguments, "--json")
    assert found.exit_code == 1
    assert not found.json["validation"]["well"]
    assert "Validation: eu-west-1: public keys: cloudtrail:ListPublicKeys is not allowed." in found.stderr


def test_a_query_that_somebody_declines_is_wrong_usage(monkeypatch: pytest.MonkeyPatch) -> None:
    plan: Any = SimpleNamespace(danger=Danger.CONFIRM, statement="SELECT 1", digest="d")
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr("click.confirm", lambda *_, **__: False)
    with pytest.raises(NotConfirmedError, match="Nothing was run"):
        query_consent(plan, plan.statement, yes=False)


def test_engines_that_are_none_are_exit_code_2(keydeck: Keydeck) -> None:
    for wrong, said in (
        (("stats", "--by", "name", "--yes"), "--max-bytes and --yes are for a query that costs money"),
        (("pivot", "name", "--engine", "duckdb", "/nowhere"), "does not exist"),
        (("list", "--engine", "sqlite", "x"), "'sqlite' is not 'duckdb'"),
    ):
        found = keydeck("events", *wrong)
        assert found.exit_code == 2
        assert said in found.stderr


@pytest.mark.deep
def test_an_interrupted_pull_ends_at_once_with_130_and_can_be_gone_on_with(
    sandbox: Sandbox, environment: dict[str, str], keydeck: Keydeck, since: str
) -> None:
    sandbox.control.add_fault(Fault("LookupEvents", "hang"))
    child: subprocess.Popen[Any] = subprocess.Popen(
        [sys.executable, "-m", "console", "events", "pull", *window(since), "--json"],
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stderr is not None
        assert "Fetching from" in child.stderr.readline()
        child.send_signal(signal.SIGINT)
        output, errors = child.communicate(timeout=60)
    finally:
        child.kill()
    assert (child.returncode, output) == (130, "")
    assert "the next pull continues there" in errors
    sandbox.control.clear()
    assert keydeck("events", "pull", *window(since), "--json").json["new"] == 3

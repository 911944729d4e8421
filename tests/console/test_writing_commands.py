"""Commands that write: dry runs, --yes, moves between keys, refusals, and an interrupted run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from sqlalchemy import Engine, text

from console.printed.plan_words import print_result
from console.sandbox.corruption import Corruption
from console.sandbox.endpoint.control import Denial, Fault
from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World
from crypto_core.reencryption.plan import RunResult, Unwritten, Verb
from tests.console.command_types import Keydeck, NewKey, Stored


def test_a_dry_run_changes_nothing(keydeck: Keydeck, world: World, new_key: NewKey, stored: Stored) -> None:
    keydeck("init")
    ref = world.sealed_under(world.current_key)[0]
    before = stored(ref)
    for command in ("rewrap", "reencrypt"):
        document = keydeck(command, str(ref), "--to", new_key(), "--dry-run", "--json").json
        assert (document["dry_run"], document["tokens"]) == (True, 1)
    assert stored(ref) == before
    entries = keydeck("journal", "list", "--json").json["entries"]
    assert [e["outcome"] for e in entries] == ["done", "dry run", "dry run"]


@pytest.mark.deep
def test_a_run_that_leaves_a_token_unwritten_tells_it_and_exits_1(
    keydeck: Keydeck, world: World, new_key: NewKey
) -> None:
    keydeck("init")
    sound = world.sealed_under(world.current_key)[0]
    swapped = next(ref for ref, how in world.corrupt.items() if how is Corruption.SWAPPED_DATA_KEY)
    ran = keydeck("reencrypt", str(sound), str(swapped), "--to", new_key(), "--yes", "--json")
    assert (ran.exit_code, ran.json["planned"], ran.json["done"]) == (1, 2, 1)
    assert [unwritten["reference"] for unwritten in ran.json["poisoned"]] == [str(swapped)]


@pytest.mark.usefixtures("short_waits")
def test_a_kms_that_refuses_stops_the_run_with_exit_3_and_nothing_changed(
    keydeck: Keydeck, sandbox: Sandbox, world: World, stored: Stored, new_key: NewKey
) -> None:
    keydeck("init")
    ref = world.sealed_under(world.current_key)[0]
    before = stored(ref)
    key = new_key()
    for prepare, says in (
        (lambda: sandbox.control.add_denial(Denial("*", "kms:GenerateDataKey")), "kms:GenerateDataKey"),
        (
            lambda: sandbox.control.add_fault(Fault("GenerateDataKey", "KMSInternalException")),
            "KMS failed internally",
        ),
    ):
        sandbox.control.clear()
        prepare()
        ran = keydeck("reencrypt", str(ref), "--to", key, "--yes")
        assert ran.exit_code == 3, ran
        assert says in ran.stderr
        assert stored(ref) == before


def test_what_stopped_a_run_is_printed_on_stderr_and_its_result_on_stdout(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_result(
        RunResult(
            Verb.REENCRYPT,
            target_key_arn="arn:aws:kms:eu-west-1:111122223333:key/new",
            planned=10,
            done=4,
            conflicts_retried=0,
            poisoned=(Unwritten("gh_connection.access_token:gh-1", "The row is gone."),),
            changed_meanwhile=0,
            remaining=5,
            seconds=1.0,
            kms_calls=8,
            stopped_by="Access denied: kms:GenerateDataKey.",
        )
    )
    out, err = capsys.readouterr()
    assert err == "▲ Stopped: Access denied: kms:GenerateDataKey.\n"
    for words in ("4 of 10 tokens written", "5 tokens not reached", "The row is gone."):
        assert words in out
    assert "Stopped" not in out


def test_a_target_key_that_cannot_be_used_is_refused_before_anything_happens(
    keydeck: Keydeck, sandbox: Sandbox, world: World, stored: Stored, new_key: NewKey
) -> None:
    keydeck("init")
    key = new_key()
    sandbox.client("kms").disable_key(KeyId=key)
    ref = world.sealed_under(world.current_key)[0]
    before = stored(ref)
    ran = keydeck("rewrap", str(ref), "--to", key, "--yes")
    assert ran.exit_code == 2
    assert "Disabled" in ran.stderr
    assert stored(ref) == before
    entry = keydeck("journal", "list", "--json").json["entries"][-1]
    assert (entry["outcome"], entry["action"]) == ("refused", "rewrap")


def test_without_the_schema_nothing_is_written_and_the_way_out_is_named(
    keydeck: Keydeck, world: World, new_key: NewKey, stored: Stored
) -> None:
    ref = world.sealed_under(world.current_key)[0]
    before = stored(ref)
    ran = keydeck("reencrypt", str(ref), "--to", new_key(), "--yes")
    assert ran.exit_code == 3
    assert "keydeck init" in ran.stderr
    assert stored(ref) == before


def begun(superuser: Engine) -> bool:
    statement = text("SELECT EXISTS (SELECT FROM keydeck.journal WHERE outcome = 'started')")
    with superuser.connect() as connection:
        return bool(connection.scalar(statement))


@pytest.mark.deep
def test_an_interrupted_run_exits_130_and_can_be_run_again(
    sandbox: Sandbox, world: World, keydeck: Keydeck, new_key: NewKey, superuser: Engine
) -> None:
    keydeck("init")
    key = new_key()
    sandbox.control.set_latency(100)
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "console",
            "reencrypt",
            "--from",
            "alias/tokens",
            "--to",
            key,
            "--yes",
            "--json",
        ],
        env=dict(os.environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if " calls of KMS" in line:
            break
    deadline = time.monotonic() + 60
    while not begun(superuser) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    stdout, _ = process.communicate(timeout=60)
    sandbox.control.clear()
    document = json.loads(stdout)
    assert process.returncode == 130
    assert document["interrupted"] is True
    assert document["remaining"] > 0
    again = keydeck("reencrypt", "--from", "alias/tokens", "--to", key, "--yes", "--json").json
    assert document["done"] + again["done"] == len(world.sealed_under(world.current_key))
    assert again["remaining"] == 0

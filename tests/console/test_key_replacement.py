"""keydeck keys replace, keydeck keys materials: exit codes, what is printed where, and an end to waiting."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, text

from console.container import Container
from console.sandbox.endpoint import Denial
from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World

Keydeck = Callable[..., Any]
MISSING = "arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-4000-8000-000000000000"


@pytest.fixture
def key(new_key: Callable[[], str]) -> str:
    return new_key()


@pytest.fixture
def denied(sandbox: Sandbox) -> Iterator[Callable[[str], None]]:
    yield lambda action: sandbox.control.add_denial(Denial("*", action))
    sandbox.control.clear()


@pytest.fixture
def in_tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process's time zone is another than UTC."""
    with monkeypatch.context() as patched:
        patched.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


def test_a_rotation_that_is_complete_exits_with_0(
    keydeck: Keydeck, services: Container, world: World
) -> None:
    ran = keydeck("keys", "replace", world.old_key.arn)
    assert (ran.exit_code, ran.stderr) == (0, "")
    assert f"new key: alias/tokens  {world.current_key.arn}" in ran.stdout
    assert "✔ 4. Wait until the platform uses it: done" in ran.stdout
    assert "▶ 5. Move the tokens that are left (optional): now" in ran.stdout
    assert ran.stdout.splitlines()[-1] == "complete"
    ran = keydeck("--read-only", "keys", "replace", "alias/tokens-old", "--json")
    assert (ran.exit_code, ran.stderr, ran.json["complete"]) == (0, "", True)
    assert ran.json["tokens_under_old_key"] == len(world.sealed_under(world.old_key))


def test_a_rotation_that_is_not_covered_is_not_complete(
    keydeck: Keydeck, services: Container, world: World, superuser: Engine
) -> None:
    with superuser.begin() as connection:
        connection.execute(text("CREATE TABLE ledger (id int PRIMARY KEY, note text)"))
    ran = keydeck("keys", "replace", world.old_key.arn)
    assert (ran.exit_code, ran.stdout.splitlines()[-1]) == (1, "not complete: not everything is covered")
    assert "Not covered: 1 column of 1 table in schema public can't be read" in ran.stderr


def test_a_rotation_with_steps_left_exits_with_1_and_says_the_next(
    keydeck: Keydeck, world: World, key: str
) -> None:
    old = world.current_key.arn
    ran = keydeck("keys", "replace", "alias/tokens", "--by", key)
    assert ran.exit_code == 1
    lines = [line.strip() for line in ran.stdout.splitlines()]
    at = lines.index(f"Do: TOKEN_ENCRYPTION_KEY_ID={key}")
    assert lines[at + 1] == f"instead of: TOKEN_ENCRYPTION_KEY_ID={old}"
    assert f"Later: keydeck keys replace {old} --by {key} --wait" in lines
    assert lines[-1] == "not complete: 3 steps left"
    ran = keydeck("keys", "replace", "alias/tokens")
    assert ran.exit_code == 1
    assert "new key: none yet" in ran.stdout
    assert "Do: keydeck keys create --platform ARN --rotation-period 365" in ran.stdout


def test_a_new_line_says_that_it_is_new(
    keydeck: Keydeck, world: World, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KEYDECK_TRUSTED_KEYS")
    ran = keydeck("keys", "replace", world.current_key.arn, "--by", key)
    lines = [line.strip() for line in ran.stdout.splitlines()]
    at = lines.index(f"Do: KEYDECK_TRUSTED_KEYS={world.current_key.arn}")
    assert lines[at + 1].endswith("it is not set now")


def test_who_may_lose_access_is_named_with_except(
    keydeck: Keydeck, sandbox: Sandbox, world: World, key: str
) -> None:
    kms = sandbox.client("kms")
    policy = kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"]
    narrowed = policy.replace(
        '"kms:*"', '["kms:PutKeyPolicy","kms:GetKeyPolicy","kms:DescribeKey","kms:ListGrants"]'
    )
    assert narrowed != policy
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=narrowed)
    told = keydeck("keys", "replace", world.current_key.arn, "--by", key)
    assert "account 123456789012 loses Decrypt and GenerateDataKey" in told.stdout
    told = keydeck("keys", "replace", world.current_key.arn, "--by", key, "--except", "123456789012")
    assert "✔ 1." in told.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (("alias/tokens", "--interval", "4"), 2, "--interval"),
        (("alias/tokens", "--since", "yesterday"), 2, "2026-11-24T12:00"),
        (("not a key",), 2, "Not a KMS key"),
        ((MISSING,), 3, "does not exist"),
    ],
)
def test_what_is_wrong_is_told_by_the_exit_code(
    keydeck: Keydeck, arguments: tuple[str, ...], code: int, word: str
) -> None:
    ran = keydeck("keys", "replace", *arguments)
    assert (ran.exit_code, ran.stdout) == (code, "")
    assert word in ran.stderr


@pytest.mark.deep
def test_since_is_taken_as_utc_or_with_its_offset(keydeck: Keydeck, world: World, in_tokyo: None) -> None:
    for moment in ("2031-01-01T12:00", "2031-01-01T13:00+01:00", "2031-01-01 12:00:00Z"):
        ran = keydeck("keys", "replace", world.old_key.arn, "--since", moment)
        assert ran.exit_code == 1
        assert "(since 2031-01-01 12:00:00 UTC)" in ran.stdout


def test_a_dead_database_is_3_and_the_keys_are_told(
    keydeck: Keydeck, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody:x@127.0.0.1:9/none")
    ran = keydeck("keys", "replace", world.old_key.arn)
    assert ran.exit_code == 3
    assert "The database did not answer" in ran.stderr
    assert "✔ 1." in ran.stdout
    assert "? 4. Wait until the platform uses it: not known" in ran.stdout


@pytest.mark.deep
def test_waiting_ends_at_once_where_the_platform_is_seen(keydeck: Keydeck, world: World) -> None:
    ran = keydeck("keys", "replace", world.old_key.arn, "--wait", "--json")
    assert (ran.exit_code, ran.stderr, ran.json["complete"]) == (0, "", True)


@pytest.mark.deep
def test_waiting_is_interrupted_with_130(environment: dict[str, str], world: World, key: str) -> None:
    command = [sys.executable, "-m", "console", "keys", "replace", world.current_key.arn, "--by", key]
    with subprocess.Popen(
        [*command, "--wait", "--interval", "300"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **environment},
        text=True,
    ) as process:
        assert process.stderr is not None
        assert "waiting: New key: not used since" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert "Stopped waiting." in err


@pytest.mark.deep
def test_materials_are_told_and_opened(keydeck: Keydeck, world: World) -> None:
    key = world.current_key
    ran = keydeck("keys", "materials", "alias/tokens", "--json")
    assert ran.exit_code == 0
    told = [(m["number"], m["key_material_id"], m["tried"]) for m in ran.json["materials"]]
    assert told == [(1, key.material_ids[0], 0), (2, key.material_ids[1], 0)]
    ran = keydeck("keys", "materials", key.arn, "--verify", "2", "--json")
    assert (ran.exit_code, [m["opened"] for m in ran.json["materials"]]) == (0, [2, 2])
    ran = keydeck("keys", "materials", key.arn, "--verify", "2")
    assert ran.stdout.count("2 of 2") == 2
    assert "automatic" in ran.stdout
    # The damaged tokens that the world has do not open.
    ran = keydeck("keys", "materials", key.arn, "--verify", "1000")
    assert ran.exit_code == 1
    assert "not opened: " in ran.stdout


@pytest.mark.deep
def test_materials_of_a_key_that_is_not_trusted_can_be_opened(
    keydeck: Keydeck, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KEYDECK_TRUSTED_KEYS")
    ran = keydeck("keys", "materials", "alias/tokens-old", "--verify", "2", "--json")
    assert (ran.exit_code, ran.json["materials"][0]["opened"]) == (0, 2)


def test_a_gap_of_materials_is_said(keydeck: Keydeck, denied: Callable[[str], None]) -> None:
    denied("kms:ListKeyRotations")
    ran = keydeck("keys", "materials", "alias/tokens")
    assert ran.exit_code == 0
    assert "kms:ListKeyRotations is not allowed" in ran.stderr

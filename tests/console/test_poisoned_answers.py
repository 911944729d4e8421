"""One UPDATE of remembered answers by a limited role: no harm is done on it, and no zero is said."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, make_url, text

from console.container import Container
from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World
from tests.console.command_types import Keydeck


@pytest.fixture
def kms(sandbox: Sandbox) -> Any:
    return sandbox.client("kms")


@pytest.fixture
def granted(
    services: Container, keydeck: Keydeck, superuser: Engine, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Keydeck works as a role that has only what is printed for responders."""
    name, password = f"responder_{uuid4().hex[:8]}", uuid4().hex
    printed = keydeck("grants", "responder", "--to", name, "--json").json
    with superuser.begin() as connection:
        connection.execute(text(f"CREATE ROLE {name} LOGIN PASSWORD '{password}'"))
        for statement in printed["sql"]:
            connection.execute(text(statement))
    url = make_url(services.settings.required_database_url()).set(username=name, password=password)
    monkeypatch.setenv("DATABASE_URL", url.render_as_string(hide_password=False))
    yield
    _drop(superuser, name)


def _drop(superuser: Engine, name: str) -> None:
    with superuser.begin() as connection:
        connection.execute(text(f"DROP OWNED BY {name}"))
        connection.execute(text(f"DROP ROLE {name}"))


@pytest.fixture
def poisoned(granted: None, keydeck: Keydeck, superuser: Engine, world: World) -> Iterator[int]:
    """Every remembered answer names the new key, by a role that may do nothing else; how many were under
    the old one before.
    """
    before = sum(
        key["tokens"]
        for key in keydeck("status", "--json").json["keys"]
        if key["key_arn"] == world.old_key.arn
    )
    name = f"limited_{uuid4().hex[:8]}"
    with superuser.begin() as connection:
        connection.execute(text(f"CREATE ROLE {name}"))
        connection.execute(text(f"GRANT USAGE ON SCHEMA keydeck TO {name}"))
        connection.execute(text(f"GRANT UPDATE (key_arn) ON keydeck.key_answer TO {name}"))
        connection.execute(text(f"SET LOCAL ROLE {name}"))
        connection.execute(
            text("UPDATE keydeck.key_answer SET key_arn = :arn"), {"arn": world.current_key.arn}
        )
    told = {key["key_arn"] for key in keydeck("status", "--json").json["keys"]}
    assert world.old_key.arn not in told, "the remembered answers are not poisoned"
    yield before
    _drop(superuser, name)


@pytest.mark.deep
def test_a_policy_that_shuts_the_platform_out_is_not_put_on_a_forged_answer(
    poisoned: int, keydeck: Keydeck, kms: Any, world: World, tmp_path: Path
) -> None:
    key = world.old_key.arn
    before = kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"]
    reads = ["kms:*KeyPolicy", "kms:DescribeKey", "kms:ListGrants"]
    root = {"AWS": f"arn:aws:iam::{key.split(':')[4]}:root"}
    file = tmp_path / "policy.json"
    file.write_text(
        json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": [{"Effect": "Allow", "Principal": root, "Action": reads, "Resource": "*"}],
            }
        )
    )
    ran = keydeck("keys", "put-policy", key, str(file), "--yes")
    assert ran.exit_code == 2
    assert "there are tokens under the key" in ran.stderr
    assert kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"] == before
    dry = keydeck("keys", "put-policy", key, str(file), "--dry-run", "--json")
    assert dry.exit_code == 1
    number = dry.json["confirmation"]
    assert abs(int(number) - poisoned) <= len(world.corrupt)
    assert keydeck("keys", "put-policy", key, str(file), "--yes", "--lose-tokens", number).exit_code == 0


def test_every_token_under_the_key_is_planned(poisoned: int, keydeck: Keydeck, world: World) -> None:
    moves = ("--from", world.old_key.arn, "--to", world.current_key.arn, "--dry-run", "--json")
    planned = keydeck("reencrypt", *moves).json["tokens"]
    assert len(world.sealed_under(world.old_key)) <= planned <= poisoned + len(world.corrupt)
    as_job = keydeck("reencrypt", *moves, "--job")
    assert as_job.json["tokens"] == planned


def test_the_step_that_proves_a_key_empty_does_not_pass(
    poisoned: int, keydeck: Keydeck, world: World
) -> None:
    declared = keydeck("incident", "start", "key-compromise", "--key", world.old_key.arn, "--json")
    number = str(declared.json["incident"])
    looked = keydeck("incident", "check", number, "census", "--json")
    assert looked.exit_code == 1
    check = looked.json["check"]
    assert check["state"] == "not yet"
    assert any("under the old key" in line for line in check["lines"])
    assert any("Fresh proof of" in line for line in check["lines"])


@pytest.mark.deep
@pytest.mark.parametrize("verb", ["disable", "schedule-deletion"])
def test_a_key_with_tokens_is_not_taken_away_on_a_forged_answer(
    poisoned: int, keydeck: Keydeck, kms: Any, world: World, verb: str
) -> None:
    key = world.old_key.arn
    ran = keydeck("keys", verb, key, "--yes")
    assert ran.exit_code == 2
    assert "there are tokens under the key" in ran.stderr
    dry = keydeck("keys", verb, key, "--dry-run", "--json").json
    assert dry["refused_unless_typed"] is True
    assert abs(dry["tokens"]["under"] - poisoned) <= len(world.corrupt)
    assert dry["tokens"]["proof"]["asked"] >= dry["tokens"]["proof"]["groups"]
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "Enabled"

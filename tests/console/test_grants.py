"""keydeck grants: what it prints is enough for a role's work, and no more."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, make_url, text

from console.container import Container
from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World
from crypto_core.guard.approvals import ADVISORY
from crypto_core.guard.operations import KeydeckRole
from tests.console.command_types import Keydeck, NewKey


@dataclass
class Allowed:
    """A database role with exactly what was printed, and the actions that its IAM policy allows."""

    name: str
    actions: set[str]


@pytest.fixture(params=KeydeckRole.RESPONDER.includes)
def allowed(
    request: pytest.FixtureRequest,
    services: Container,
    keydeck: Keydeck,
    superuser: Engine,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Allowed]:
    """A new database role with the printed privileges; the process works as this role from now on."""
    name, password = f"R {uuid4().hex[:8]}", uuid4().hex
    printed = keydeck("grants", request.param.value, "--to", name, "--json").json
    with superuser.begin() as connection:
        connection.execute(text(f"CREATE ROLE \"{name}\" LOGIN PASSWORD '{password}'"))
        for statement in printed["sql"]:
            connection.execute(text(statement))
    url = make_url(services.settings.database_url).set(username=name, password=password)
    monkeypatch.setenv("DATABASE_URL", url.render_as_string(hide_password=False))
    statements = printed["iam_policy"]["Statement"]
    yield Allowed(request.param.value, {action for s in statements for action in s["Action"]})
    with superuser.begin() as connection:
        connection.execute(text(f'DROP OWNED BY "{name}"'))
        connection.execute(text(f'DROP ROLE "{name}"'))


def called(sandbox: Sandbox, before: dict[str, int]) -> set[str]:
    now = sandbox.control.stats().calls
    made = {action for action, count in now.items() if count > before.get(action, 0)}
    if "kms:ReEncrypt" in made:
        made = made - {"kms:ReEncrypt"} | {"kms:ReEncryptFrom", "kms:ReEncryptTo"}
    return made - {"sts:GetCallerIdentity"}  # needs no permission


@pytest.mark.quick(1)
def test_a_role_does_its_work_with_what_is_printed_and_is_refused_what_is_not_its_own(
    allowed: Allowed, keydeck: Keydeck, sandbox: Sandbox, world: World, new_key: NewKey
) -> None:
    one, two = map(str, world.sealed_under(world.current_key)[:2])
    key, another = new_key(), new_key()
    before = dict(sandbox.control.stats().calls)
    status = keydeck("status", "--json")
    assert (status.exit_code, status.json["coverage"]["complete"]) == (0, True)
    assert keydeck("verify", one).exit_code == 0
    keydeck("findings", "--json")
    written = [
        keydeck(verb, ref, "--to", key, "--yes") for verb, ref in (("rewrap", one), ("reencrypt", two))
    ]
    declared = keydeck("incident", "start", "key-compromise", "--key", key)
    disabled = keydeck("keys", "disable", another, "--yes") if declared.exit_code == 0 else declared
    works = (allowed.name != "inspector", allowed.name == "responder", allowed.name == "responder")
    done = (all(w.exit_code == 0 for w in written), declared.exit_code == 0, disabled.exit_code == 0)
    assert done == works, (written, declared, disabled)
    assert called(sandbox, before) <= allowed.actions
    if allowed.name == "inspector":
        assert "GRANT" in written[0].stderr


def test_asker_approver_and_signer_have_no_call_in_common(
    keydeck: Keydeck, new_key: NewKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEYDECK_APPROVALS_KEY", new_key())
    may: dict[str, set[str]] = {}
    for role in KeydeckRole:
        printed = keydeck("grants", role.value, "--json").json
        may[role] = {
            f"{action} {' '.join(purposes)}".strip()
            for statement in printed["iam_policy"]["Statement"]
            for purposes in (
                statement.get("Condition", {})
                .get("StringEquals", {})
                .get("kms:EncryptionContext:keydeck:purpose", ()),
            )
            for action in statement["Action"]
            if action in ("kms:Sign", "kms:GenerateMac", "kms:GenerateDataKeyWithoutPlaintext")
        }
    asks = {"kms:GenerateDataKeyWithoutPlaintext ask use"}
    approves = {"kms:GenerateDataKeyWithoutPlaintext approve deny"}
    assert may == {
        "inspector": set(),
        "operator": asks,
        "responder": asks,
        "approver": approves,
        "signer": {"kms:Sign", "kms:GenerateMac"},
    }
    sql = keydeck("grants", "approver", "--json").json["sql"]
    assert not [statement for statement in sql if "public" in statement]


def test_without_an_approvals_key_an_approvers_grants_say_that_approvals_are_advisory(
    keydeck: Keydeck,
) -> None:
    assert ADVISORY in keydeck("grants", "approver", "--json").json["not_covered"]


def test_the_statements_name_columns_and_no_more(services: Container, keydeck: Keydeck) -> None:
    sql = keydeck("grants", "operator", "--json").json["sql"]
    assert not [s for s in sql if "ALL" in s.split() or "TRUNCATE" in s]
    deletes = [s.partition(" ON ")[2].split()[0] for s in sql if "DELETE" in s]
    assert deletes == ["keydeck.fingerprint", "keydeck.fingerprint_key"]
    updates = [s for s in sql if s.startswith("GRANT UPDATE (")]
    assert "GRANT UPDATE (bot_token) ON public.slack_connection TO keydeck_operator;" in updates
    assert len(updates) == 6


def test_as_text_the_policy_is_json_below_the_statements(services: Container, keydeck: Keydeck) -> None:
    said = keydeck("grants", "inspector").stdout
    above, _, below = said.partition("-- IAM policy")
    policy: dict[str, Any] = json.loads(below)
    assert policy["Version"] == "2012-10-17"
    assert [line for line in above.splitlines() if line.startswith("GRANT SELECT (id, bot_token")]


def test_a_hostile_name_is_one_identifier(services: Container, keydeck: Keydeck) -> None:
    hostile = 'x; DROP TABLE gh_connection; -- "\x1b[31m'
    sql = keydeck("grants", "inspector", "--to", hostile, "--json").json["sql"]
    assert all(s.endswith('"x; DROP TABLE gh_connection; -- ""\x1b[31m";') for s in sql)
    shown = keydeck("grants", "inspector", "--to", hostile).stdout
    assert "\x1b" not in shown
    assert not [line for line in shown.splitlines() if line.startswith("GRANT")]

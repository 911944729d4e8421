"""keydeck keys …: each change by its subcommand, its exit codes, and what it prints where."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from sqlalchemy import Engine

from console import capabilities
from console.__main__ import run
from console.commands import key_changes
from console.container import Container
from console.sandbox.endpoint import Denial, Fault
from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World
from crypto_core.keyring.cipher import TokenCipher
from crypto_core.keys.changes import service
from crypto_core.keys.changes.change import ChangeKind
from tests.platform_rows import connect_slack

Keydeck = Callable[..., Any]
PLATFORM = "arn:aws:iam::123456789012:role/keydeck-platform"
SUSPECT = "arn:aws:iam::123456789012:role/somebody-else"


@pytest.fixture(autouse=True)
def _schema(services: Container, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keydeck's schema is there, and effects are looked for once."""
    monkeypatch.setattr(service.KeyChangeService.__init__, "__kwdefaults__", {"patience": ()})


@pytest.fixture
def kms(sandbox: Sandbox) -> Any:
    return sandbox.client("kms")


@pytest.fixture
def key(new_key: Callable[[], str]) -> str:
    return new_key()


def own_alias(key: str) -> str:
    return f"alias/cli-{key.rsplit('/', 1)[-1]}"


def test_there_is_a_subcommand_for_every_kind() -> None:
    assert {c.name for c in key_changes.COMMANDS} == {*(k.value for k in ChangeKind), "grants"}


def test_a_key_goes_through_its_life(keydeck: Keydeck, kms: Any, key: str, tmp_path: Path) -> None:
    alias = own_alias(key)
    roles = ("--platform", PLATFORM, "--operator", f"{PLATFORM}-2", "--operator", f"{PLATFORM}-3")
    made = keydeck(
        "keys",
        "create",
        *("--alias", alias, "--description", "of a test", "--multi-region", "--rotation-period", "90"),
        *roles,
        *("--yes", "--json"),
    )
    assert (made.exit_code, made.json["verified"]) == (0, True), made.stderr
    arn = made.json["key_arn"]
    policy = json.loads(kms.get_key_policy(KeyId=arn, PolicyName="default")["Policy"])
    assert policy["Statement"][2]["Principal"]["AWS"] == [f"{PLATFORM}-2", f"{PLATFORM}-3"]

    def changed(*arguments: str) -> dict[str, tuple[str, str]]:
        ran = keydeck("keys", *arguments, "--yes", "--json")
        assert (ran.exit_code, ran.json["verified"]) == (0, True), ran.stderr
        return {f["name"]: (f["before"], f["after"]) for f in ran.json["facts"]}

    turned = changed("enable-rotation", alias, "--period", "1000")
    assert turned["automatic rotation"] == ("every 90 days", "every 1,000 days")
    assert changed("disable-rotation", alias)["automatic rotation"][1] == "off"
    assert changed("rotate", alias)["rotations on demand"] == ("0 of 25", "1 of 25")
    assert changed("replicate", alias, "eu-central-1")["replica in eu-central-1"] == ("none", "Enabled")
    assert changed("alias", f"{alias}-2", arn)[f"{alias}-2"] == ("no such alias", arn)
    assert changed("disable", alias)["state"] == ("Enabled", "Disabled")
    assert changed("enable", alias)["state"] == ("Disabled", "Enabled")
    policy["Statement"].pop()
    policy["Statement"][0]["Action"].append("kms:CreateGrant")
    file = tmp_path / "policy.json"
    file.write_text(json.dumps(policy))
    assert changed("put-policy", alias, str(file))["policy"][1].startswith("2 statements")
    assert changed("block", alias, SUSPECT)["policy"][1].startswith("3 statements")
    assert keydeck("keys", "block", alias, "x\x1b[2J", "--yes").exit_code == 2
    assert keydeck("keys", "unblock", alias, SUSPECT).exit_code == 2  # it takes typing, or --yes
    assert changed("unblock", alias, SUSPECT)["policy"][1].startswith("2 statements")
    grant = kms.create_grant(KeyId=arn, GranteePrincipal=PLATFORM, Operations=["Decrypt"])["GrantId"]
    (shown,) = keydeck("keys", "grants", alias, "--json").json["grants"]
    assert (shown["grant_id"], shown["operations"]) == (grant, ["Decrypt"])
    assert grant in keydeck("keys", "grants", alias).stdout
    assert changed("revoke-grant", alias, grant)["grant"][1] == "gone"
    assert keydeck("keys", "grants", alias).stdout == f"{alias} has no grants.\n"
    assert changed("schedule-deletion", arn, "--days", "7")["state"][1] == "PendingReplicaDeletion"
    assert changed("cancel-deletion", arn)["state"][1] == "Disabled"


def test_a_dry_run_prints_one_document_and_changes_nothing(keydeck: Keydeck, kms: Any, key: str) -> None:
    ran = keydeck("keys", "rotate", key, "--dry-run", "--json")
    assert (ran.exit_code, ran.stderr) == (0, "")
    assert (ran.json["dry_run"], ran.json["operations"]) == (True, ["kms:RotateKeyOnDemand"])
    assert ran.json["facts"][1] == {"name": "rotations on demand", "before": "0 of 25", "after": "1 of 25"}
    ran = keydeck("keys", "rotate", key, "--dry-run")
    assert "• Uses rotation 1 of 25, for ever: there is no way back." in ran.stdout
    assert "◦ Re-encrypts nothing: tokens stay" in ran.stdout
    assert re.search(r"^rotations on demand +0 of 25 → 1 of 25$", ran.stdout, re.MULTILINE)
    assert kms.list_key_rotations(KeyId=key)["Rotations"] == []
    assert [e["outcome"] for e in keydeck("journal", "list", "--json").json["entries"]] == ["dry run"] * 2


def test_without_the_register_of_copies_a_plan_says_that_it_is_not_installed(
    keydeck: Keydeck, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = tuple(one for one in capabilities.manifests() if one.name != "forensics")
    monkeypatch.setattr(capabilities, "manifests", lambda: others)
    gone = "is not installed: this installation leaves the capability forensics out."
    unknown = f"Whether registered copies need the key is not known: The register of copies {gone}"
    for verb in ("disable", "schedule-deletion"):
        assert [
            line for line in keydeck("keys", verb, key, "--dry-run").stdout.splitlines() if "copies" in line
        ] == [f"▲ {unknown}"]
        copies = keydeck("keys", verb, key, "--dry-run", "--json").json["tokens"]["copies"]
        assert copies == {
            "registered": None,
            "needing": [],
            "doubtful": [],
            "unknown": unknown.partition(": ")[2],
        }
    assert unknown in " ".join(keydeck("keys", "show", key).stdout.split())
    for command in ("scan", "copies"):
        asked = keydeck(command, "list")
        assert (asked.exit_code, asked.stdout) == (2, "")
        assert f"keydeck {command} {gone}" in asked.stderr


def test_without_a_terminal_a_change_needs_yes(keydeck: Keydeck, kms: Any, key: str) -> None:
    ran = keydeck("keys", "disable", key)
    assert ran.exit_code == 2
    assert "needs --yes" in ran.stderr
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "Enabled"


@pytest.mark.deep
@pytest.mark.parametrize("verb", ["disable", "schedule-deletion"])
def test_yes_alone_loses_no_token(
    keydeck: Keydeck, kms: Any, world: World, verb: str, database_url: str
) -> None:
    key = world.old_key.arn
    dry = keydeck("keys", verb, key, "--dry-run", "--json")
    assert (dry.exit_code, dry.json["refused_unless_typed"]) == (1, True)
    tokens = dry.json["tokens"]["under"]
    assert dry.json["confirmation"] == str(tokens)
    for extra in ((), ("--lose-tokens", str(tokens + 1)), ("--lose-tokens", "all")):
        ran = keydeck("keys", verb, key, "--yes", *extra)
        assert ran.exit_code == 2, extra
        assert ran.stdout == ""
    assert f"--lose-tokens {tokens}" in keydeck("keys", verb, key, "--yes").stderr
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "Enabled"


@pytest.mark.deep
def test_the_number_of_tokens_is_the_one_at_run_time(
    keydeck: Keydeck, services: Container, kms: Any, key: str, platform: Engine
) -> None:
    sealed = TokenCipher(services.keyring.trusting(key)).encrypt("xoxb-1-2-test", key).stored
    connect_slack(platform, sealed, sealed)
    assert keydeck("keys", "disable", key, "--yes", "--lose-tokens", "1").exit_code == 2
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "Enabled"
    ran = keydeck("keys", "disable", key, "--yes", "--lose-tokens", "2")
    assert ran.exit_code == 0
    assert re.search(r"^state +Enabled → Disabled$", ran.stdout, re.MULTILINE)
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "Disabled"


def test_what_is_so_already_is_done(keydeck: Keydeck, key: str) -> None:
    ran = keydeck("keys", "enable", key)
    assert (ran.exit_code, ran.stderr) == (0, "")
    assert "Already in this state; nothing to do." in ran.stdout


@pytest.mark.deep
def test_exit_codes_tell_refused_denied_and_not_seen(
    keydeck: Keydeck, sandbox: Sandbox, kms: Any, key: str, tmp_path: Path
) -> None:
    assert keydeck("keys", "enable-rotation", key, "--period", "89", "--yes").exit_code == 2
    assert keydeck("keys", "cancel-deletion", key, "--yes").exit_code == 2
    assert keydeck("keys", "rotate", "no key at all", "--yes").exit_code == 2
    file = tmp_path / "policy.json"
    file.write_bytes(b"\xff\xfe")
    assert keydeck("keys", "put-policy", key, str(file), "--yes").exit_code == 2
    assert keydeck("--read-only", "keys", "rotate", key, "--yes").exit_code == 2

    sandbox.control.add_denial(Denial("*", "kms:GetKeyRotationStatus"))
    ran = keydeck("keys", "enable-rotation", key, "--period", "90", "--yes")
    assert ran.exit_code == 1
    assert "KMS reported success, but the change could not be confirmed." in ran.stdout
    assert "kms:GetKeyRotationStatus is not allowed" in ran.stdout
    sandbox.control.clear()

    sandbox.control.add_denial(Denial("*", "kms:DisableKey"))
    ran = keydeck("keys", "disable", key, "--yes")
    assert (ran.exit_code, ran.stdout) == (3, "")
    assert "Access denied: kms:DisableKey" in ran.stderr
    sandbox.control.clear()

    sandbox.control.add_fault(Fault("RotateKeyOnDemand", "reset"))
    ran = keydeck("keys", "rotate", key, "--yes", "--json")
    assert (ran.exit_code, ran.json["verified"]) == (3, False)
    assert "it may have been done" in ran.json["stopped_by"]


def test_a_key_that_is_made_in_part_is_told_with_the_commands_that_finish_it(
    keydeck: Keydeck, sandbox: Sandbox, key: str
) -> None:
    alias = own_alias(key)
    sandbox.control.add_denial(Denial("*", "kms:CreateAlias"))
    ran = keydeck("keys", "create", "--alias", alias, "--platform", PLATFORM, "--yes")
    assert ran.exit_code == 3
    assert "not finished" in ran.stdout
    assert "Stopped: Access denied: kms:CreateAlias" in ran.stderr
    assert "Access denied" not in ran.stdout
    (finish,) = [line for line in ran.stderr.splitlines() if line.startswith("keydeck keys alias")]
    sandbox.control.clear()
    assert keydeck(*finish.split()[1:], "--yes").exit_code == 0


def on_a_terminal(monkeypatch: pytest.MonkeyPatch, answer: str, *arguments: str) -> tuple[int, str]:
    asked: list[str] = []

    def prompt(question: str, **_: Any) -> Any:
        asked.append(question)
        return answer

    def confirm(question: str, **_: Any) -> bool:
        asked.append(question)
        return answer == "y"

    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr(click, "prompt", prompt)
    monkeypatch.setattr(click, "confirm", confirm)
    return run(list(arguments)), " ".join(asked)


@pytest.mark.deep
def test_a_terminal_is_asked_as_the_danger_demands(
    environment: dict[str, str], kms: Any, key: str, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def state() -> str:
        return str(kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"])

    name = key.rsplit("/", 1)[-1]
    code, asked = on_a_terminal(monkeypatch, "yes", "keys", "disable", key)
    assert (code, asked, state()) == (130, f"Type the name ({name}) to confirm", "Enabled")
    code, _ = on_a_terminal(monkeypatch, name, "keys", "disable", key)
    assert (code, state()) == (0, "Disabled")
    code, asked = on_a_terminal(monkeypatch, "n", "keys", "enable", key)
    assert (code, state()) == (130, "Disabled")
    assert asked.startswith("Enable …")
    code, _ = on_a_terminal(monkeypatch, "y", "keys", "enable", key)
    assert (code, state()) == (0, "Enabled")
    code, asked = on_a_terminal(monkeypatch, "0", "keys", "disable", world.old_key.arn)
    assert code == 130
    assert "Type the number of tokens that will be lost (" in asked


def test_help_says_what_is_refused_and_what_each_does_not_do(keydeck: Keydeck) -> None:
    for verb, said in {
        "disable": "Refused while there are tokens under it",
        "rotate": "Re-encrypts nothing",
        "cancel-deletion": "stays disabled until it is enabled",
    }.items():
        assert said in " ".join(keydeck("keys", verb, "--help").stdout.split())

"""Policies and grants as KMS has them, and the command that shows them; the sandbox's KMS over HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from console.container import Container
from crypto_core.keys.policy import policy_reader
from crypto_core.keys.policy.least_privilege import NEEDS, Role, least_privilege
from crypto_core.values.errors import KeyNotFoundError, KmsAccessDeniedError, KmsRequestError, SettingsError

Keydeck = Callable[..., Any]
PLATFORM = "arn:aws:iam::123456789012:role/platform"


def put(kms: Any, key: str, policy: dict[str, Any]) -> None:
    kms.put_key_policy(KeyId=key.rpartition("/")[2], PolicyName="default", Policy=json.dumps(policy))


def test_a_key_is_read_with_its_policy_and_all_its_grants(services: Container, kms: Any, key: str) -> None:
    for number in range(60):
        kms.create_grant(
            KeyId=key.rpartition("/")[2], GranteePrincipal=f"{PLATFORM}-{number}", Operations=["Decrypt"]
        )
    put(kms, key, least_privilege(key, {Role.PLATFORM: (PLATFORM,)}))
    found = services.services.policies.read(key)
    assert found.key.key_arn == key
    assert found.missing == {}
    by_policy = [a for a in found.accesses if a.grant is None]
    assert [a.actions for a in by_policy] == [NEEDS[Role.ADMINISTRATOR], NEEDS[Role.PLATFORM]]
    assert {a.principal.value for a in found.accesses if a.grant} == {f"{PLATFORM}-{n}" for n in range(60)}
    assert len(found.sentences) == 62


def test_a_key_can_be_named_by_alias(services: Container) -> None:
    assert services.services.policies.read("alias/tokens").key.aliases == ("alias/tokens",)


def test_grants_that_may_not_be_listed_are_missing_by_their_action(
    services: Container, key: str, deny: Callable[[str], None]
) -> None:
    deny("kms:ListGrants")
    found = services.services.policies.read(key)
    assert found.missing == {"grants": "kms:ListGrants is not allowed"}
    assert found.accesses


def test_without_the_policy_there_is_nothing_to_show(
    services: Container, key: str, deny: Callable[[str], None]
) -> None:
    deny("kms:GetKeyPolicy")
    with pytest.raises(KmsAccessDeniedError, match="GetKeyPolicy"):
        services.services.policies.read(key)


def test_names_of_no_key_are_refused(services: Container) -> None:
    with pytest.raises(SettingsError):
        services.services.policies.read("not a key")
    with pytest.raises(KeyNotFoundError):
        services.services.policies.read("alias/nowhere")


def test_a_policy_that_is_none_is_said_to_be_none(
    services: Container, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = json.dumps(least_privilege(key, {Role.PLATFORM: (PLATFORM,)}) | {"Statement": []})
    monkeypatch.setattr(policy_reader, "read_policy_text", lambda *_: answer)
    with pytest.raises(KmsRequestError, match="has no Statement"):
        services.services.policies.read(key)


def test_the_command_prints_explains_and_compares(
    keydeck: Keydeck, kms: Any, key: str, tmp_path: Path
) -> None:
    least = least_privilege(key, {Role.PLATFORM: (PLATFORM,)})
    put(kms, key, least)
    assert json.loads(keydeck("keys", "policy", key).stdout) == least
    document = keydeck("keys", "policy", key, "--json").json
    assert (document["key_arn"], document["policy"], document["grants"]) == (key, least, [])
    said = keydeck("keys", "policy", key, "--explain").stdout.splitlines()
    assert said[1] == "role/platform may Decrypt, GenerateDataKey (PlatformUsesDataKeys)"
    explained = keydeck("keys", "policy", key, "--explain", "--json").json
    assert [s["may"] for s in explained["statements"]] == [True, True]
    assert explained["statements"][1]["powers"] == ["open data keys", "make data keys"]

    generated = keydeck("keys", "policy", key, "--generate", "--operator", PLATFORM)
    other = tmp_path / "other.json"
    other.write_text(generated.stdout)
    compared = keydeck("keys", "policy", key, "--diff", str(other)).stdout.splitlines()
    assert compared[0].startswith("role/platform gains: ReEncryptFrom, ReEncryptTo, DescribeKey")
    assert any(line.startswith("+ ") and "ReEncryptTo" in line for line in compared)
    changes = keydeck("keys", "policy", key, "--diff", str(other), "--json").json["changes"]
    assert [(c["who"], c["loses"]) for c in changes] == [("role/platform", [])]
    other.write_text(json.dumps(least))
    assert keydeck("keys", "policy", key, "--diff", str(other)).stdout == "No difference.\n"


def test_the_command_says_what_it_could_not_see(
    keydeck: Keydeck, key: str, deny: Callable[[str], None]
) -> None:
    deny("kms:ListGrants")
    ran = keydeck("keys", "policy", key, "--explain")
    assert ran.exit_code == 0
    assert "Not covered: grants: kms:ListGrants is not allowed" in ran.stderr


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--explain", "--generate", "--platform", PLATFORM), "Choose one of"),
        (("--platform", PLATFORM), "goes with --generate"),
        (("--generate",), "Name at least one principal"),
        (("--generate", "--platform", "*"), "is not an IAM role, user or account, for platform"),
        (("--diff", "nowhere.json"), "nowhere.json"),
    ],
)
def test_wrong_usage_is_told(keydeck: Keydeck, key: str, options: tuple[str, ...], says: str) -> None:
    ran = keydeck("keys", "policy", key, *options)
    assert ran.exit_code == 2
    assert says in ran.stderr
    assert ran.stdout == ""


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"\x1b]0;owned\x07", b"{" * 40_000])
def test_a_file_that_holds_no_policy_is_refused(
    keydeck: Keydeck, key: str, tmp_path: Path, content: bytes
) -> None:
    file = tmp_path / "other.json"
    file.write_bytes(content)
    ran = keydeck("keys", "policy", key, "--diff", str(file))
    assert ran.exit_code == 2
    assert "\x1b" not in ran.stderr
    assert ran.stdout == ""

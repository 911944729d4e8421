"""keydeck findings and what keydeck check makes of them: documents, text, exit codes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine, text

from console.sandbox.endpoint import Denial
from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World
from tests.console.shapes import assert_shape

Keydeck = Callable[..., Any]


@pytest.fixture
def protected(keydeck: Keydeck, superuser: Engine, world: World) -> None:
    """Every token is protected: what remains to be found is the posture."""
    with superuser.begin() as connection:
        for ref in world.corrupt:
            connection.execute(text(f"DELETE FROM {ref.table} WHERE id::text = :id"), {"id": ref.row_id})
    assert keydeck("init").exit_code == 0
    assert keydeck("encrypt", "--plaintext", "--yes").exit_code == 0


@pytest.fixture
def public(sandbox: Sandbox, world: World) -> Any:
    """The key written under is open to everyone until the test ends."""
    kms, key = sandbox.client("kms"), world.current_key.key_id
    before = kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"]
    policy = json.loads(before)
    everybody = {"Sid": "Open", "Effect": "Allow", "Principal": "*", "Action": "kms:Decrypt", "Resource": "*"}
    policy["Statement"].append(everybody)
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=json.dumps(policy))
    yield
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=before)


def test_findings_json_is_the_documented_document(keydeck: Keydeck, world: World) -> None:
    ran = keydeck("findings", "--json")
    assert ran.exit_code == 1
    assert set(ran.json) == {"findings", "coverage", "suppressed"}
    for finding in ran.json["findings"]:
        assert_shape("finding", finding)
    assert {f["severity"] for f in ran.json["findings"]} <= {"critical", "high", "medium", "low"}
    mine = [f for f in ran.json["findings"] if f["subject"] == world.old_key.arn]
    assert {f["rule"] for f in mine} == {"kms-material-old", "kms-single-region"}
    assert all(f["evidence"] and f["remedy"] and f["controls"] for f in mine)


def test_findings_as_text_put_the_worst_first(keydeck: Keydeck, world: World, public: None) -> None:
    lines = keydeck("findings").stdout.splitlines()
    assert lines[0] == "✖ critical alias/tokens is open to everyone"
    assert lines[1].split() == ["about", world.current_key.arn]
    assert "everyone may Decrypt (Open)" in lines[2]
    assert lines[3].split()[0] == "remedy"
    assert "AWS Security Hub KMS.5" in lines[4]
    assert lines[5].split() == ["rule", "kms-key-public"]


@pytest.mark.usefixtures("protected")
def test_check_fails_on_a_finding_of_high_or_worse_and_shows_no_other(
    keydeck: Keydeck, request: pytest.FixtureRequest
) -> None:
    ran = keydeck("check", "--json")
    assert (ran.exit_code, ran.json["well"], ran.json["findings"]) == (0, True, [])
    request.getfixturevalue("public")
    ran = keydeck("check", "--json")
    assert (ran.exit_code, ran.json["well"], ran.json["problems"]) == (1, False, [])
    assert [f["rule"] for f in ran.json["findings"]] == ["kms-key-public"]
    lines = keydeck("check").stdout.splitlines()
    assert lines[0] == "✖ critical alias/tokens is open to everyone"
    assert lines[-1] == "not well"


@pytest.mark.quick(2)
@pytest.mark.usefixtures("protected")
@pytest.mark.parametrize(
    ("action", "well"),
    [
        ("kms:GetKeyPolicy", False),
        ("kms:ListGrants", False),
        ("cloudtrail:DescribeTrails", False),
        ("kms:GetKeyRotationStatus", True),
        ("iam:GetAccountAuthorizationDetails", True),
        ("s3:GetBucketPolicyStatus", True),
    ],
)
def test_check_is_well_only_if_nothing_grave_can_be_unseen(
    keydeck: Keydeck, sandbox: Sandbox, action: str, well: bool
) -> None:
    sandbox.control.add_denial(Denial("*", action))
    ran = keydeck("check", "--json")
    sandbox.control.clear()
    assert ran.json["well"] is well
    assert ran.exit_code == (0 if well else 1)
    assert any(f"{action} is not allowed" in reason for reason in ran.json["coverage"]["reasons"])
    sandbox.control.add_denial(Denial("*", action))
    ran = keydeck("check")
    sandbox.control.clear()
    assert ran.stdout == ("well\n" if well else "not well\n")
    assert f"{action} is not allowed" in ran.stderr


def test_the_manual_has_the_matrix_of_public_checks(keydeck: Keydeck) -> None:
    ran = keydeck("help", "checks")
    assert ran.exit_code == 0
    assert re.search(r"^KMS\.1 +covered +kms-decrypt-all-managed ", ran.stdout, re.MULTILINE)
    assert re.search(r"^kms-key-tagged +missing ", ran.stdout, re.MULTILINE)


def test_what_is_not_covered_is_told_on_stderr_and_in_the_document(
    keydeck: Keydeck, sandbox: Sandbox, world: World
) -> None:
    sandbox.control.add_denial(Denial("*", "kms:GetKeyPolicy", world.current_key.arn))
    ran = keydeck("findings", "--json")
    reason = f"{world.current_key.arn}: policy: kms:GetKeyPolicy is not allowed"
    assert f"Not covered: {reason}" in ran.stderr
    assert ran.json["coverage"]["complete"] is False
    assert reason in ran.json["coverage"]["reasons"]
    sandbox.control.clear()


def test_without_aws_nothing_is_found_and_nothing_is_well(
    keydeck: Keydeck, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    ran = keydeck("findings", "--json")
    assert (ran.exit_code, ran.json["findings"]) == (3, [])
    reasons = ran.json["coverage"]["reasons"]
    assert any(r.startswith("Keys, access and trails are not examined: No answer from AWS") for r in reasons)
    assert "No answer from AWS" in ran.stderr
    ran = keydeck("check", "--json")
    assert (ran.exit_code, ran.json["well"]) == (1, False)
    assert set(reasons) & set(ran.json["coverage"]["reasons"])


def test_without_the_database_findings_come_with_a_word(
    keydeck: Keydeck, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://operator@127.0.0.1:1/tokens")
    ran = keydeck("findings", "--json")
    assert ran.exit_code == 1
    assert "Not covered: Tokens are not counted" in ran.stderr
    assert keydeck("check").exit_code == 3

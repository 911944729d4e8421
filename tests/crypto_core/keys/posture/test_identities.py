"""IAM policies that allow decryption under every key, read from IAM."""

from __future__ import annotations

import json
from collections.abc import Iterator
from threading import Event
from typing import Any

import pytest

from console.container import Container
from console.sandbox.endpoint import Denial
from console.sandbox.sandbox import Sandbox
from crypto_core.findings.finding import Finding, Gap, Severity
from crypto_core.findings.registry import Facts, rules_about
from crypto_core.keys.posture.identities import read_identities, wide_statements
from crypto_core.values.errors import InterruptedRunError, KmsAccessDeniedError, PolicyError
from tests.crypto_core.keys.posture.samples import ACCOUNT, HOSTILE

KEY = f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab"


def allow(actions: Any, resource: Any = "*", **more: Any) -> dict[str, Any]:
    """A statement."""
    return {"Effect": "Allow", "Action": actions, "Resource": resource, **more}


def document(*statements: dict[str, Any]) -> dict[str, Any]:
    """A policy."""
    return {"Version": "2012-10-17", "Statement": list(statements)}


DENY = allow("kms:Decrypt") | {"Effect": "Deny"}


@pytest.mark.parametrize(
    ("statements", "actions"),
    [
        ([allow("kms:Decrypt")], {"Decrypt"}),
        ([allow(["s3:*", "KMS:re*"])], {"ReEncryptFrom"}),
        ([allow("*")], {"Decrypt", "ReEncryptFrom"}),
        ([allow("*:*")], {"Decrypt", "ReEncryptFrom"}),
        ([allow("kms:*", f"arn:aws:kms:*:{ACCOUNT}:key/*")], {"Decrypt", "ReEncryptFrom"}),
        ([allow("kms:Decrypt", [KEY, "arn:aws:kms:*:*:*"])], {"Decrypt"}),
        ([{"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}], {"Decrypt", "ReEncryptFrom"}),
        ([{"Effect": "Allow", "Action": "kms:Decrypt", "NotResource": KEY}], {"Decrypt"}),
        ([allow("kms:*"), DENY], {"ReEncryptFrom"}),
        (
            [allow("kms:Decrypt"), DENY | {"Condition": {"Bool": {"aws:SecureTransport": "false"}}}],
            {"Decrypt"},
        ),
        ([allow("kms:Decrypt"), DENY | {"Resource": KEY}], {"Decrypt"}),
        ([allow("kms:Decrypt", KEY)], set()),
        ([allow("kms:Decrypt", f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/*")], set()),
        ([allow("kms:Decrypt", "arn:aws:kms:*:999999999999:key/*")], set()),
        ([allow("kms:Decrypt", "arn:aws:s3:::*")], set()),
        ([allow(["kms:Encrypt", "kms:GenerateDataKey*", "kms:Describe*"])], set()),
        ([{"Effect": "Allow", "NotAction": "kms:*", "Resource": "*"}], set()),
        ([allow("kms:Decrypt"), DENY], set()),
    ],
)
def test_which_statements_are_about_every_key(statements: list[dict[str, Any]], actions: set[str]) -> None:
    found = wide_statements(document(*statements), ACCOUNT)
    assert {action for statement in found for action in statement.actions} == actions


@pytest.mark.parametrize(
    "broken", ["%7B", {}, {"Statement": [5]}, document(allow(5)), document(allow("x", {}))]
)
def test_what_is_no_policy_is_an_error(broken: object) -> None:
    with pytest.raises(PolicyError):
        wide_statements(broken, ACCOUNT)


class Pages:
    """IAM's answer in pages."""

    regions = ("eu-west-1",)

    def __init__(self, *pages: dict[str, Any] | Exception) -> None:
        self.pages = pages

    def read(self, _service: str, _operation: str, **parameters: Any) -> Any:
        """Answer as KmsApi does."""
        number = int(parameters.get("Marker", 0))
        page = self.pages[number]
        if isinstance(page, Exception):
            raise page
        more = number + 1 < len(self.pages)
        return page | {"IsTruncated": more, **({"Marker": str(number + 1)} if more else {})}


def managed(name: str, statement: dict[str, Any], attached: int = 1, **more: Any) -> dict[str, Any]:
    """A customer managed policy of two versions, the first of which does no harm."""
    return {
        "PolicyName": name,
        "Arn": f"arn:aws:iam::{ACCOUNT}:policy/{name}",
        "AttachmentCount": attached,
        "PolicyVersionList": [
            {"IsDefaultVersion": False, "Document": document(allow("kms:*"))},
            {"IsDefaultVersion": True, "Document": document(statement)},
        ],
        **more,
    }


def told(*pages: dict[str, Any] | Exception) -> list[Finding | Gap]:
    policies, gaps = read_identities(Pages(*pages))  # type: ignore[arg-type]
    return [*gaps, *(said for rule in rules_about(Facts.IDENTITIES) for said in rule(policies))]


def test_every_page_is_read_and_every_kind_of_principal() -> None:
    inline = [{"PolicyName": "p", "PolicyDocument": json.dumps(document(allow("kms:Decrypt")))}]
    said = told(
        {"Policies": [managed("wide", allow("kms:Decrypt")), managed("fine", allow("kms:Decrypt", KEY))]},
        {"UserDetailList": [{"Arn": f"arn:aws:iam::{ACCOUNT}:user/u", "UserPolicyList": inline}]},
        {"GroupDetailList": [{"Arn": f"arn:aws:iam::{ACCOUNT}:group/g", "GroupPolicyList": inline}]},
        {"RoleDetailList": [{"Arn": f"arn:aws:iam::{ACCOUNT}:role/r", "RolePolicyList": inline}]},
    )
    found = [one for one in said if isinstance(one, Finding)]
    assert len(found) == len(said)
    assert [(one.rule, one.subject.rsplit(":", 1)[-1], one.severity.value) for one in found] == [
        ("kms-decrypt-all-inline", "user/u", "medium"),
        ("kms-decrypt-all-inline", "group/g", "medium"),
        ("kms-decrypt-all-inline", "role/r", "medium"),
        ("kms-decrypt-all-managed", "policy/wide", "medium"),
    ]
    assert "statement 1 allows kms:Decrypt on *; attached to 1 principal" in found[-1].evidence


def test_what_nobody_has_or_a_condition_narrows_is_low_and_a_boundary_none() -> None:
    condition = {"Condition": {"StringEquals": {"kms:ViaService": "s3.eu-west-1.amazonaws.com"}}}
    said = told(
        {
            "Policies": [
                managed("idle", allow("kms:Decrypt"), 0),
                managed("narrow", allow("kms:Decrypt", **condition)),
                managed("boundary", allow("kms:Decrypt"), 0, PermissionsBoundaryUsageCount=3),
            ]
        }
    )
    assert [(one.severity, one.title.split()[2]) for one in said if isinstance(one, Finding)] == [
        (Severity.LOW, "idle"),
        (Severity.LOW, "narrow"),
    ]
    assert "with a condition on kms:ViaService" in said[1].evidence  # type: ignore[union-attr]


def test_what_cannot_be_read_is_a_gap_that_names_the_action_or_the_policy() -> None:
    denied = KmsAccessDeniedError("no", action="iam:GetAccountAuthorizationDetails")
    first = {"Policies": [managed("wide", allow("kms:Decrypt"))]}
    gap, found = told(first, denied)
    assert gap == Gap("IAM policies: iam:GetAccountAuthorizationDetails is not allowed", Severity.MEDIUM)
    assert isinstance(found, Finding)
    (gap,) = told({"Policies": [managed("odd", allow(5))]})
    assert isinstance(gap, Gap)
    assert "policy/odd: policy odd: Action is neither" in gap.reason


def test_names_from_outside_are_data() -> None:
    statement = allow("kms:Decrypt", "*", Sid=HOSTILE, Condition={"StringLike": {HOSTILE: HOSTILE}})
    for said in told({"Policies": [managed(HOSTILE, statement), managed(HOSTILE, {"Sid": HOSTILE})]}):
        texts = (said.reason,) if isinstance(said, Gap) else (said.subject, said.title, said.evidence)
        assert all(text.isprintable() for text in texts)


def test_reading_stops_when_it_is_cancelled() -> None:
    cancelled = Event()
    cancelled.set()
    with pytest.raises(InterruptedRunError):
        read_identities(Pages({}), cancelled=cancelled)  # type: ignore[arg-type]


@pytest.fixture
def policies(sandbox: Sandbox) -> Iterator[str]:
    """A managed and an inline policy that allow decryption under every key; the role's ARN."""
    iam, wide = sandbox.client("iam"), json.dumps(document(allow("kms:Decrypt")))
    trust = json.dumps(
        document({"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": ACCOUNT}})
    )
    role = iam.create_role(RoleName="wide-role", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    iam.put_role_policy(RoleName="wide-role", PolicyName="inline", PolicyDocument=wide)
    policy = iam.create_policy(PolicyName="wide-policy", PolicyDocument=wide)["Policy"]["Arn"]
    iam.attach_role_policy(RoleName="wide-role", PolicyArn=policy)
    yield role
    sandbox.control.clear()
    iam.detach_role_policy(RoleName="wide-role", PolicyArn=policy)
    iam.delete_policy(PolicyArn=policy)
    iam.delete_role_policy(RoleName="wide-role", PolicyName="inline")
    iam.delete_role(RoleName="wide-role")


def test_iam_is_asked_and_may_refuse(services: Container, sandbox: Sandbox, policies: str) -> None:
    posture = services.services.posture.examine_keys()
    found = {f.rule: f for f in posture.findings if f.rule.startswith("kms-decrypt-all")}
    assert found["kms-decrypt-all-inline"].subject == policies
    assert found["kms-decrypt-all-managed"].subject.endswith(":policy/wide-policy")
    assert "attached to 1 principal" in found["kms-decrypt-all-managed"].evidence
    sandbox.control.add_denial(Denial("*", "iam:GetAccountAuthorizationDetails"))
    posture = services.services.posture.examine_keys()
    assert not [f for f in posture.findings if f.rule.startswith("kms-decrypt-all")]
    reason = "IAM policies: iam:GetAccountAuthorizationDetails is not allowed"
    assert Gap(reason, Severity.MEDIUM) in posture.gaps
    assert posture.examined

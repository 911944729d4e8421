"""Who may do too much: everybody, other accounts, those who are no administrators, grants to many."""

from __future__ import annotations

from typing import Any

import pytest

from crypto_core.findings.finding import Severity
from crypto_core.keys.posture.access import cross_account, full_control, policy_unknown, public, wide_grants
from crypto_core.keys.posture.facts import KeyFacts
from tests.crypto_core.keys.posture.samples import (
    ACCOUNT,
    ADMIN,
    HOSTILE,
    ORGANISATION,
    OTHER,
    ROLE,
    ROOT,
    allow,
    arn,
    ask,
    facts,
    finding,
    grant,
    with_policy,
)

EVERYONE: dict[str, Any] = {"AWS": "*"}
RULES = (public, cross_account, full_control, wide_grants)


def rules(about: KeyFacts, **limits: Any) -> list[tuple[str, str]]:
    """Which rules say something, and how bad it is."""
    said = [found for rule in RULES for found in ask(rule, about, **limits)]
    return [(f.rule, f.severity.value) for f in said]  # type: ignore[union-attr]


def test_everybody_is_public() -> None:
    found = finding(public, with_policy(allow(EVERYONE, "kms:Decrypt", sid="Open")))
    assert (found.rule, found.severity) == ("kms-key-public", Severity.CRITICAL)
    assert "everyone may Decrypt (Open)" in found.evidence
    assert "AWS Security Hub KMS.5" in found.controls


def test_what_everybody_may_only_look_at_is_less() -> None:
    found = finding(public, with_policy(allow("*", "kms:DescribeKey")))
    assert found.severity is Severity.MEDIUM
    assert found.title.endswith("to look at")


def test_a_public_key_is_told_once() -> None:
    assert rules(with_policy(allow("*"))) == [("kms-key-public", "critical")]


def test_a_public_key_without_tokens_is_medium() -> None:
    assert finding(public, with_policy(allow("*"), tokens=0)).severity is Severity.MEDIUM
    assert finding(public, with_policy(allow("*"), tokens=0, writes=True)).severity is Severity.CRITICAL
    assert finding(public, with_policy(allow("*"), tokens=None)).severity is Severity.CRITICAL


@pytest.mark.parametrize(
    ("condition", "public_", "far"),
    [
        ({"StringEquals": {"kms:CallerAccount": ACCOUNT}}, False, None),
        ({"StringEquals": {"kms:CallerAccount": OTHER}}, False, "high"),
        ({"StringEquals": {"kms:CallerAccount": [ACCOUNT, OTHER]}}, False, "high"),
        ({"StringEquals": {"aws:SourceAccount": ACCOUNT}}, False, None),
        ({"ArnLike": {"aws:SourceArn": f"arn:aws:sns:eu-west-1:{OTHER}:*"}}, False, "medium"),
        ({"StringEquals": {"aws:PrincipalOrgID": ORGANISATION}}, False, "medium"),
        ({"StringEquals": {"kms:ViaService": "s3.eu-west-1.amazonaws.com"}}, False, "medium"),
        ({"StringEquals": {"kms:ViaService": "s3.*.com", "kms:CallerAccount": ACCOUNT}}, False, None),
        ({"StringEquals": {"aws:SourceVpce": "vpce-1a2b3c4d"}}, False, None),
        ({"Bool": {"aws:SecureTransport": "true"}}, True, None),
    ],
)
def test_conditions_say_whether_everybody_is_meant(condition: Any, public_: bool, far: str | None) -> None:
    about = with_policy(allow("*", "kms:Decrypt", condition))
    expected = [("kms-key-public", "critical")] if public_ else []
    expected += [("kms-key-cross-account", far)] if far else []
    assert rules(about) == expected


def test_the_statement_of_the_default_policy_is_no_finding() -> None:
    assert rules(with_policy(allow({"AWS": ROOT}))) == []
    assert rules(with_policy(allow({"AWS": ROOT})), administrators=(ADMIN,)) == []


@pytest.mark.parametrize(
    ("actions", "severity"),
    [
        ("kms:Decrypt", "high"),
        ("kms:CreateGrant", "high"),
        ("kms:ScheduleKeyDeletion", "high"),
        ("kms:GenerateDataKey", "medium"),
        ("kms:TagResource", "medium"),
        ("kms:DescribeKey", "low"),
        (["kms:DescribeKey", "kms:ReEncrypt*"], "high"),
    ],
)
def test_another_account_is_as_bad_as_what_it_may_do(actions: Any, severity: str) -> None:
    about = with_policy(allow({"AWS": f"arn:aws:iam::{OTHER}:role/x"}, actions))
    assert rules(about) == [("kms-key-cross-account", severity)]


def test_another_account_is_named_and_can_be_expected() -> None:
    about = with_policy(allow({"AWS": [OTHER, ROLE]}, "kms:Decrypt", sid="Partner"))
    found = finding(cross_account, about)
    assert found.title.endswith(f"may be used from account {OTHER}")
    assert "(Partner)" in found.evidence
    assert "role/platform" not in found.evidence
    assert ask(cross_account, about, accounts=frozenset({OTHER})) == []


def test_a_condition_on_another_account_makes_it_less() -> None:
    condition = {"StringEquals": {"kms:ViaService": "secretsmanager.eu-west-1.amazonaws.com"}}
    about = with_policy(allow({"AWS": f"arn:aws:iam::{OTHER}:root"}, "kms:Decrypt", condition))
    assert rules(about) == [("kms-key-cross-account", "medium")]


def test_another_accounts_identity_provider_is_of_that_account() -> None:
    provider = f"arn:aws:iam::{OTHER}:saml-provider/corp"
    assert rules(with_policy(allow({"Federated": provider}, "kms:Decrypt"))) == [
        ("kms-key-cross-account", "high")
    ]


def test_a_service_that_acts_for_anybody_is_told() -> None:
    service = {"Service": "sns.amazonaws.com"}
    assert rules(with_policy(allow(service, "kms:Decrypt"))) == [("kms-key-cross-account", "medium")]
    assert rules(with_policy(allow(service, "kms:DescribeKey"))) == [("kms-key-cross-account", "low")]
    bound = {"StringEquals": {"aws:SourceAccount": ACCOUNT}}
    assert rules(with_policy(allow(service, "kms:Decrypt", bound))) == []
    context = {"ArnLike": {"kms:EncryptionContext:aws:logs:arn": f"arn:aws:logs:eu-west-1:{ACCOUNT}:*"}}
    logs = {"Service": "logs.eu-west-1.amazonaws.com"}
    assert rules(with_policy(allow(logs, "kms:Decrypt*", context))) == []


def test_a_grant_to_another_account_is_told() -> None:
    about = facts(tokens=1, grants=(grant(f"arn:aws:iam::{OTHER}:role/backup"), grant(ROLE)))
    found = finding(cross_account, about)
    assert found.severity is Severity.HIGH
    assert f"role/backup of account {OTHER} may Decrypt (grant gggggggg…)" in found.evidence
    assert "role/platform" not in found.evidence


@pytest.mark.parametrize("actions", ["kms:*", "*", ["kms:Decrypt", "kms:Put*", "kms:Schedule*"]])
def test_full_control_beyond_the_administrators_is_told(actions: Any) -> None:
    about = with_policy(allow({"AWS": [ADMIN, ROLE]}, actions))
    found = finding(full_control, about, administrators=(ADMIN,))
    assert (found.rule, found.severity) == ("kms-key-full-control", Severity.HIGH)
    assert "1 principal who is no administrator" in found.title
    assert "role/platform" in found.evidence
    assert "role/key-admin may" not in found.evidence
    assert "NIST SP 800-53 AC-5" in found.controls


def test_administrators_may_be_a_pattern() -> None:
    about = with_policy(allow({"AWS": ADMIN}))
    assert ask(full_control, about, administrators=(f"arn:aws:iam::{ACCOUNT}:role/key-*",)) == []
    assert len(ask(full_control, about, administrators=(f"arn:aws:iam::{OTHER}:role/key-*",))) == 1


def test_where_no_administrators_are_named_full_control_is_medium() -> None:
    found = finding(full_control, with_policy(allow({"AWS": [ADMIN, ROLE]})))
    assert found.severity is Severity.MEDIUM
    assert "2 principals who are no administrators" in found.title
    assert "KEYDECK_ADMINISTRATORS: not set" in found.evidence


@pytest.mark.parametrize("actions", ["kms:Decrypt", ["kms:Put*", "kms:Schedule*"], "kms:Describe*"])
def test_less_than_all_is_no_full_control(actions: Any) -> None:
    assert ask(full_control, with_policy(allow({"AWS": ROLE}, actions))) == []


def test_what_is_denied_is_not_counted() -> None:
    denial = allow({"AWS": ROLE}, "kms:PutKeyPolicy") | {"Effect": "Deny"}
    assert ask(full_control, with_policy(allow({"AWS": ROLE}), denial)) == []


def test_everybody_of_the_account_is_no_administrator() -> None:
    own = {"StringEquals": {"kms:CallerAccount": ACCOUNT}}
    assert rules(with_policy(allow("*", "kms:*", own)), administrators=(ADMIN,)) == [
        ("kms-key-full-control", "high")
    ]
    all_but_root = allow("*", "kms:*", own)
    del all_but_root["Principal"]
    assert rules(with_policy(all_but_root | {"NotPrincipal": {"AWS": ROOT}}), administrators=(ADMIN,)) == [
        ("kms-key-full-control", "high")
    ]
    as_admin = {"ArnEquals": {"aws:PrincipalArn": ADMIN}}
    assert rules(with_policy(allow("*", "kms:*", as_admin)), administrators=(ADMIN,)) == []


@pytest.mark.parametrize(
    ("grantee", "severity"),
    [
        ("*", Severity.CRITICAL),
        (f"arn:aws:iam::{ACCOUNT}:role/*", Severity.CRITICAL),
        (ROOT, Severity.HIGH),
        (OTHER, Severity.HIGH),
    ],
)
def test_grants_to_many_are_told(grantee: str, severity: Severity) -> None:
    about = facts(tokens=2, grants=(grant(grantee), grant(ROLE)))
    found = finding(wide_grants, about)
    assert (found.rule, found.severity) == ("kms-grant-wide", severity)
    assert "1 grant " in found.title


def test_grants_to_one_principal_or_service_or_of_nothing_are_not() -> None:
    grants = (grant(ROLE), grant("rds.eu-west-1.amazonaws.com"), grant("*", "Nothing"))
    assert ask(wide_grants, facts(tokens=2, grants=grants)) == []
    assert ask(cross_account, facts(tokens=2, grants=grants)) == []
    expected = frozenset({OTHER})
    assert ask(wide_grants, facts(tokens=2, grants=(grant(OTHER),)), accounts=expected) == []


def test_a_wide_grant_without_tokens_is_medium() -> None:
    assert finding(wide_grants, facts(grants=(grant("*"),))).severity is Severity.MEDIUM


def test_what_may_not_be_read_is_a_gap_and_nothing_is_made_of_it() -> None:
    missing = {"policy": "kms:GetKeyPolicy is not allowed", "grants": "kms:ListGrants is not allowed"}
    about = facts(tokens=3, accesses=None, grants=None, missing=missing)
    reasons = [(g.reason, g.hides) for g in policy_unknown(about)]
    assert reasons == [
        (f"{arn()}: policy: kms:GetKeyPolicy is not allowed", Severity.CRITICAL),
        (f"{arn()}: grants: kms:ListGrants is not allowed", Severity.CRITICAL),
    ]
    assert rules(about) == []
    idle = facts(tokens=0, accesses=None, missing=missing)
    assert [g.hides for g in policy_unknown(idle)] == [Severity.MEDIUM]


def test_keys_that_aws_manages_are_aws_own() -> None:
    about = with_policy(allow("*"), allow({"AWS": OTHER}), manager="AWS")
    assert rules(about) == []
    assert list(policy_unknown(facts(manager="AWS", accesses=None, grants=None))) == []


def test_hostile_text_of_a_policy_is_data() -> None:
    about = with_policy(allow("*", "kms:Decrypt", sid=HOSTILE), aliases=("alias/x",))
    found = finding(public, about)
    assert "]0;owned[/red]x" in found.evidence
    assert found.evidence.isprintable()
    assert finding(
        cross_account, with_policy(allow({"AWS": f"arn:aws:iam::{OTHER}:role/{HOSTILE}"}))
    ).evidence
    for text in (found.title, found.remedy, str(found.as_json())):
        assert not {"\x1b", "\x07", "\u202e", "\u200b"} & set(text)


def test_many_principals_are_counted_not_poured_out() -> None:
    roles = [f"arn:aws:iam::{OTHER}:role/r{n}" for n in range(40)]
    found = finding(cross_account, with_policy(allow({"AWS": roles}, "kms:Decrypt")))
    assert "and 35 more" in found.evidence
    assert "role/r4 " in found.evidence
    assert "role/r5 " not in found.evidence

"""Who may do what: conditions that narrow and those that don't, denials, grants, and all of it in words."""

from __future__ import annotations

from typing import Any

import pytest

from crypto_core.keys.grants import Grant, parse_grant
from crypto_core.keys.policy.access import Access, accesses, explain
from crypto_core.keys.policy.actions import POWERS, Power
from crypto_core.keys.policy.conditions import Bound
from crypto_core.keys.policy.document import parse_policy
from tests.crypto_core.keys.policy.test_document import ACCOUNT, KEY, ROLE, policy, statement

OTHER = "999999999999"
ORGANISATION = "o-a1b2c3d4e5"


def found(*statements: dict[str, Any], grants: tuple[Grant, ...] = ()) -> tuple[Access, ...]:
    return accesses(parse_policy(policy(*statements)), grants, KEY)


def everyone(**condition: Any) -> Access:
    (access,) = found(statement(Principal="*", Condition=condition))
    return access


def test_what_a_statement_allows_is_told_for_each_of_its_principals() -> None:
    first, second = found(statement(Principal={"AWS": [ROLE, OTHER]}, Action=["kms:Decrypt", "kms:Encrypt"]))
    assert (first.principal.name, second.principal.name) == ("role/platform", f"account {OTHER}")
    assert first.actions == second.actions == {"Decrypt", "Encrypt"}
    assert (first.accounts, second.accounts) == ({ACCOUNT}, {OTHER})


@pytest.mark.parametrize("principal", ["*", {"AWS": "*"}, {"AWS": ["*", ROLE]}])
def test_a_star_is_everybody(principal: Any) -> None:
    assert found(statement(Principal=principal))[0].is_public


def test_everyone_but_somebody_is_nearly_everybody() -> None:
    raw = statement(NotPrincipal={"AWS": ROLE})
    del raw["Principal"]
    (access,) = found(raw)
    assert access.is_public
    assert access.accounts == frozenset()


@pytest.mark.parametrize(
    ("operator", "key", "value", "bound"),
    [
        ("StringEquals", "kms:CallerAccount", ACCOUNT, Bound.ACCOUNT),
        ("StringEquals", "KMS:calleraccount", [ACCOUNT, OTHER], Bound.ACCOUNT),
        ("StringLike", "kms:CallerAccount", ACCOUNT, Bound.ACCOUNT),
        ("StringEqualsIfExists", "kms:CallerAccount", ACCOUNT, Bound.ACCOUNT),
        ("StringEquals", "aws:PrincipalAccount", ACCOUNT, Bound.ACCOUNT),
        ("StringEquals", "kms:ViaService", "s3.eu-west-1.amazonaws.com", Bound.SERVICE),
        ("StringLike", "kms:ViaService", "s3.*.amazonaws.com", Bound.SERVICE),
        ("StringEquals", "aws:PrincipalOrgID", ORGANISATION, Bound.ORGANISATION),
        ("ForAnyValue:StringLike", "aws:PrincipalOrgPaths", f"{ORGANISATION}/*", Bound.ORGANISATION),
        ("StringEquals", "aws:SourceAccount", ACCOUNT, Bound.SOURCE),
        ("ArnLike", "aws:SourceArn", f"arn:aws:cloudtrail:*:{ACCOUNT}:trail/*", Bound.SOURCE),
        ("ArnEquals", "aws:SourceArn", "arn:aws:s3:::one-bucket", Bound.SOURCE),
        ("ArnLike", "aws:PrincipalArn", f"arn:aws:iam::{ACCOUNT}:role/*", Bound.PRINCIPAL),
        ("StringEquals", "aws:SourceVpce", "vpce-1234", Bound.NETWORK),
        ("IpAddress", "aws:SourceIp", "192.0.2.0/24", Bound.NETWORK),
    ],
)
def test_a_condition_on_who_calls_keeps_a_star_from_being_public(
    operator: str, key: str, value: Any, bound: Bound
) -> None:
    access = everyone(**{operator: {key: value}})
    assert not access.is_public
    assert [n.bound for n in access.narrowings] == [bound]


@pytest.mark.parametrize(
    ("operator", "key", "value"),
    [
        ("StringEqualsIfExists", "aws:SourceAccount", ACCOUNT),
        ("ForAllValues:StringEquals", "aws:PrincipalOrgID", ORGANISATION),
        ("StringNotEquals", "kms:CallerAccount", OTHER),
        ("StringLike", "kms:CallerAccount", "*"),
        ("StringLike", "kms:CallerAccount", "1*"),
        ("StringLike", "aws:PrincipalOrgID", "o-*"),
        ("StringLike", "kms:ViaService", "*.amazonaws.com"),
        ("StringLike", "kms:CallerAccount", [ACCOUNT, "*"]),
        ("ArnLike", "aws:SourceArn", "*"),
        ("ArnLike", "aws:SourceArn", "arn:aws:sns:*:*:*"),
        ("ArnLike", "aws:PrincipalArn", "arn:aws:iam::*:role/admin"),
        ("IpAddress", "aws:SourceIp", "0.0.0.0/0"),
        ("IpAddress", "aws:SourceIp", ["192.0.2.0/24", "::/0"]),
        ("Bool", "aws:SecureTransport", "true"),
        ("Null", "aws:PrincipalOrgID", "false"),
        ("StringEquals", "aws:RequestedRegion", "eu-west-1"),
        ("StringEquals", "kms:EncryptionContext:team", "payments"),
        ("StringEquals", "kms:CallerAccount", []),
    ],
)
def test_a_condition_that_anybody_can_meet_does_not(operator: str, key: str, value: Any) -> None:
    assert everyone(**{operator: {key: value}}).is_public


def test_all_conditions_of_a_statement_hold_together() -> None:
    access = everyone(
        StringEquals={"kms:CallerAccount": ACCOUNT, "kms:ViaService": "s3.eu-west-1.amazonaws.com"},
        Bool={"aws:SecureTransport": "true"},
    )
    assert access.accounts == {ACCOUNT}
    assert {n.bound for n in access.narrowings} == {Bound.ACCOUNT, Bound.SERVICE}


def deny(**elements: Any) -> dict[str, Any]:
    return statement(Effect="Deny", **elements)


def test_what_is_denied_outright_is_left_out() -> None:
    allow = statement(Action="kms:*")
    (access,) = found(allow, deny(Principal="*", Action="kms:ScheduleKeyDeletion"))
    assert access.actions == set(POWERS) - {"ScheduleKeyDeletion"}
    (access,) = found(allow, deny(Principal={"AWS": ACCOUNT}, Action="kms:Decrypt"))
    assert "Decrypt" not in access.actions
    assert found(allow, deny(Principal={"AWS": ROLE}, Action="*")) == ()


def test_what_is_denied_to_others_or_under_a_condition_stays() -> None:
    allow = statement()
    for denial in (
        deny(Principal={"AWS": OTHER}),
        deny(Principal={"AWS": f"{ROLE}-2"}),
        deny(Principal="*", Condition={"Bool": {"aws:MultiFactorAuthPresent": "false"}}),
        deny(Principal="*", Action="kms:Encrypt"),
    ):
        (access,) = found(allow, denial)
        assert access.actions == {"Decrypt"}


def test_denying_everyone_but_some_leaves_those() -> None:
    raw = deny(NotPrincipal={"AWS": ROLE})
    del raw["Principal"]
    (access,) = found(statement(Principal={"AWS": [ROLE, f"{ROLE}-2"]}), raw)
    assert access.principal.value == ROLE


@pytest.mark.parametrize("operator", ["StringNotEquals", "StringNotEqualsIfExists", "StringNotLike"])
def test_a_denial_to_all_outside_the_organisation_fences_a_star_in(operator: str) -> None:
    fence = deny(Principal="*", Action="kms:*", Condition={operator: {"aws:PrincipalOrgID": ORGANISATION}})
    (access,) = found(statement(Principal="*"), fence)
    assert not access.is_public
    assert access.narrowings[0].bound is Bound.ORGANISATION


def test_a_fence_with_a_gap_is_none() -> None:
    star = statement(Principal="*")
    outside = {"StringNotEquals": {"aws:PrincipalOrgID": ORGANISATION}}
    for fence in (
        deny(Principal="*", Action="kms:Encrypt", Condition=outside),
        deny(Principal="*", Condition=outside | {"Bool": {"aws:SecureTransport": "false"}}),
        deny(Principal={"AWS": ROLE}, Condition=outside),
    ):
        assert found(star, fence)[0].is_public


GRANT = {
    "GrantId": "a1b2c3d4" * 8,
    "Name": "legacy",
    "GranteePrincipal": ROLE,
    "RetiringPrincipal": f"arn:aws:iam::{ACCOUNT}:root",
    "Operations": ["Decrypt", "CreateGrant"],
    "Constraints": {"EncryptionContextSubset": {"team": "payments"}},
    "IssuingAccount": f"arn:aws:iam::{ACCOUNT}:root",
}


def test_a_grant_gives_its_operations_to_its_grantee() -> None:
    grant = parse_grant(GRANT)
    access = found(statement(), grants=(grant,))[-1]
    assert (access.principal.name, access.actions) == ("role/platform", {"Decrypt", "CreateGrant"})
    assert access.grant is grant
    assert not access.is_public
    assert parse_grant({"GranteePrincipal": "rds.amazonaws.com"}).grantee.kind == "Service"


def test_a_grant_of_hostile_texts_is_inert() -> None:
    text = "\x1b]0;owned\x07\u202e"
    grant = parse_grant(
        GRANT | {"GrantId": text, "Name": text, "Operations": [text], "Constraints": {text: {text: text}}}
    )
    shown = [grant.grant_id, grant.name, *grant.operations, str(grant.constraints)]
    assert not any("\x1b" in part or "\u202e" in part for part in shown)
    assert parse_grant({}).operations == ()


def test_it_is_all_said_in_words() -> None:
    document = parse_policy(
        policy(
            statement(Principal={"AWS": ACCOUNT}, Action="kms:*", Sid="Root"),
            statement(
                Principal="*",
                Sid="ViaS3",
                Condition={
                    "StringEquals": {"kms:CallerAccount": ACCOUNT},
                    "Bool": {"aws:SecureTransport": "true"},
                    "Null": {"aws:SourceArn": "true"},
                    "StringLikeIfExists": {"aws:UserAgent": "x*"},
                },
            ),
            deny(Principal="*", Action="kms:ScheduleKeyDeletion"),
        )
    )
    grant = parse_grant(GRANT)
    root, via_s3, granted, denied = (str(s) for s in explain(document, accesses(document, (grant,), KEY)))
    whole = f"account {ACCOUNT} (whoever its IAM policies let)"
    assert root == f"{whole} may do everything but ScheduleKeyDeletion (Root)"
    assert via_s3 == (
        f"everyone may Decrypt, only from account {ACCOUNT}; if aws:SecureTransport is true;"
        " if aws:SourceArn is missing; if, where it is given, aws:UserAgent is like x* (ViaS3)"
    )
    context = "if team is, in the encryption context, payments"
    assert granted == f"role/platform may CreateGrant, Decrypt, {context} (grant a1b2c3d4…)"
    assert denied == "everyone may not ScheduleKeyDeletion (statement 3)"
    assert explain(document, accesses(document))[0].powers[0] is Power.DELEGATE


def test_hostile_texts_in_a_policy_are_inert_in_words() -> None:
    text = "\x1b]0;owned\x07[/red]\u202e\n" + "y" * 2_000
    raw = statement(
        Sid=text, Principal={"AWS": text, "Federated": text}, Condition={text: {text: text}}, Action=text
    )
    denial = deny(Principal={"AWS": text}, Condition={"StringEquals": {text: text}}, Action="kms:*")
    document = parse_policy(policy(raw | {"Action": "kms:Decrypt"}, denial))
    for sentence in explain(document, accesses(document)):
        assert str(sentence).isprintable()
        assert len(str(sentence)) < 1_500

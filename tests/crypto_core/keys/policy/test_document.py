"""A key policy is read whole or refused, the refusal naming the statement and the element."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_core.keys.policy.actions import POWERS, Power, in_words, named_by, powers
from crypto_core.keys.policy.document import MOST_BYTES, Condition, Statement, parse_policy
from crypto_core.keys.principals import PolicyPrincipal
from crypto_core.values.errors import PolicyError

ACCOUNT = "123456789012"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/platform"
KEY = f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab"


def policy(*statements: dict[str, Any], **more: Any) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements), **more})


def statement(**elements: Any) -> dict[str, Any]:
    return {
        "Effect": "Allow",
        "Principal": {"AWS": ROLE},
        "Action": "kms:Decrypt",
        "Resource": "*",
    } | elements


def only(**elements: Any) -> Statement:
    (found,) = parse_policy(policy(statement(**elements))).statements
    return found


def test_a_statement_is_read_whole() -> None:
    found = only(
        Sid="PlatformUses",
        Principal={"AWS": [ROLE, ACCOUNT], "Service": "s3.amazonaws.com"},
        Action=["kms:Decrypt", "kms:GenerateDataKey*"],
        Condition={"StringEquals": {"kms:ViaService": ["s3.eu-west-1.amazonaws.com"]}, "Bool": {"a:b": True}},
    )
    assert (found.sid, found.allows) == ("PlatformUses", True)
    assert found.principals == (
        PolicyPrincipal("AWS", ROLE),
        PolicyPrincipal("AWS", ACCOUNT),
        PolicyPrincipal("Service", "s3.amazonaws.com"),
    )
    assert found.actions == ("kms:Decrypt", "kms:GenerateDataKey*")
    assert found.conditions == (
        Condition("StringEquals", "kms:ViaService", ("s3.eu-west-1.amazonaws.com",)),
        Condition("Bool", "a:b", ("true",)),
    )


def test_one_statement_need_not_be_in_a_list() -> None:
    assert len(parse_policy(json.dumps({"Statement": statement()})).statements) == 1


def test_the_negated_elements_turn_around_whom_and_what_a_statement_is_about() -> None:
    raw = statement(NotPrincipal={"AWS": ROLE}, NotAction="kms:Decrypt")
    del raw["Principal"], raw["Action"]
    (found,) = parse_policy(policy(raw)).statements
    assert found.all_principals_but
    assert found.all_actions_but
    assert found.covers == set(POWERS) - {"Decrypt"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is not JSON: Expecting value at line 1, column 1"),
        ("{", "is not JSON"),
        ("[]", "is not a JSON object"),
        ("null", "is not a JSON object"),
        ("1" * 5_000, "is not readable JSON"),
        ("[" * 20_000, "nested too deeply"),
        ('{"Version": "2012-10-17"}', "has no Statement"),
        ('{"Statement": []}', "has no Statement"),
        ('{"Statement": ["x"]}', "not an object"),
        ('{"Statement": {"Effect": "Allow", "Effect": "Deny"}}', "Effect twice"),
        (" " * (MOST_BYTES + 1), "larger than 32,768 bytes"),
        (policy(statement(Effect="allow")), "Statement 1: Effect is neither"),
        (policy(statement(), statement(Sid="Second", Effect="?")), "Statement 2 (Second): Effect"),
        (policy(statement(NotAction="kms:*")), "Statement 1 needs Action or NotAction, one of the two"),
        (policy({"Effect": "Allow", "Action": "kms:*"}), "needs Principal or NotPrincipal"),
        (policy(statement(Principal=[])), "Principal is neither"),
        (policy(statement(Principal={"AWS": [1]})), "Principal is neither a text nor a list of texts"),
        (policy(statement(Principal={"Anybody": "*"})), "Anybody is not a kind of principal"),
        (policy(statement(Action={"kms": "*"})), "Action is neither a text nor"),
        (policy(statement(NotResource="*")), "NotResource says nothing"),
        (policy(statement(Condition=[])), "Condition is not an object"),
        (policy(statement(Condition={"StringEquals": "x"})), "Condition StringEquals is not an object"),
        (policy(statement(Condition={"StringEquals": {"a:b": {}}})), "Condition a:b is neither"),
        (policy(statement(Efect="Allow")), "an element that policies don't have: Efect"),
    ],
)
def test_what_is_no_policy_is_refused_by_statement_and_element(text: str, says: str) -> None:
    with pytest.raises(PolicyError, match=re.escape(says)):
        parse_policy(text)


@given(st.text(max_size=80))
def test_no_text_ends_in_anything_but_a_policy_or_our_error(text: str) -> None:
    with pytest.raises(PolicyError):
        parse_policy(text)


@pytest.mark.deep
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=2)
            | st.dictionaries(
                st.sampled_from(
                    ["Effect", "Principal", "NotPrincipal", "Action", "Resource", "Condition", "AWS", "Allow"]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_no_shape_of_a_statement_ends_in_anything_else_either(raw: Any) -> None:
    with suppress(PolicyError):
        parse_policy(json.dumps({"Statement": raw}))


def test_hostile_texts_are_inert_in_refusals_and_names() -> None:
    hostile = "\x1b]0;owned\x07[/red]\u202e" + "x" * 100_000
    with pytest.raises(PolicyError) as caught:
        parse_policy(policy(statement(**{hostile[:20_000]: 1})))
    assert "\x1b" not in caught.value.message
    assert "\u202e" not in caught.value.message
    assert len(caught.value.message) < 300
    found = only(Sid="\x1b[31m" + "s" * 500, Principal={"AWS": "\x1b]52;c;eA==\x07"})
    assert "\x1b" not in found.sid + found.principals[0].name
    assert len(found.sid) <= 120


@pytest.mark.parametrize(
    ("value", "name", "account", "whole"),
    [
        ("*", "everyone", None, False),
        (ACCOUNT, f"account {ACCOUNT}", ACCOUNT, True),
        (f"arn:aws:iam::{ACCOUNT}:root", f"account {ACCOUNT}", ACCOUNT, True),
        (ROLE, "role/platform", ACCOUNT, False),
        (f"arn:aws-cn:iam::{ACCOUNT}:user/team/ana", "user/team/ana", ACCOUNT, False),
        ("AROAEXAMPLEEXAMPLE123", "AROAEXAMPLEEXAMPLE123 (deleted)", None, False),
    ],
)
def test_principals_have_the_names_that_operators_know(
    value: str, name: str, account: str | None, whole: bool
) -> None:
    principal = PolicyPrincipal("AWS", value)
    assert (principal.name, principal.account, principal.is_account) == (name, account, whole)


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("kms:Decrypt", {"Decrypt"}),
        ("KMS:decrypt", {"Decrypt"}),
        ("kms:ReEncrypt*", {"ReEncryptFrom", "ReEncryptTo"}),
        ("kms:?ign", {"Sign"}),
        ("k*s:Sign", {"Sign"}),
        ("kms:*", set(POWERS)),
        ("*", set(POWERS)),
        ("s3:*", set()),
        ("kms:", set()),
        ("kms:CreateKey", set()),
        ("kms:" + "*" * 5_000 + "x", set()),
    ],
)
def test_actions_are_named_by_pattern_without_regard_to_case(pattern: str, names: set[str]) -> None:
    assert named_by(pattern) == names


def test_actions_in_words_are_short_where_they_are_nearly_all() -> None:
    assert in_words(POWERS) == "do everything"
    assert in_words(set(POWERS) - {"Decrypt"}) == "do everything but Decrypt"
    assert in_words({"GenerateDataKey", "Decrypt"}) == "Decrypt, GenerateDataKey"
    assert in_words(()) == "do nothing with this key"
    assert powers({"DescribeKey", "Decrypt", "PutKeyPolicy"}) == (Power.DELEGATE, Power.OPEN, Power.LOOK)


@pytest.mark.parametrize(
    ("resource", "applies"),
    [("*", True), (KEY, True), ("arn:aws:kms:*:*:key/*", True), (KEY[:-1], False), ("arn:aws:s3:::x", False)],
)
def test_a_statement_is_about_the_key_that_its_resource_names(resource: str, applies: bool) -> None:
    assert only(Resource=resource).applies_to(KEY) is applies

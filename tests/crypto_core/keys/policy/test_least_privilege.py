"""The least that each role needs, and what one policy would change against another."""

from __future__ import annotations

import json
from typing import Any

import pytest

from crypto_core.keys.policy.access import accesses
from crypto_core.keys.policy.actions import Power, powers
from crypto_core.keys.policy.comparison import compare, effects
from crypto_core.keys.policy.document import PolicyDocument, parse_policy
from crypto_core.keys.policy.least_privilege import NEEDS, Role, least_privilege
from crypto_core.values.errors import PolicyError
from tests.crypto_core.keys.policy.test_document import ACCOUNT, KEY, ROLE, policy, statement

ANA = f"arn:aws:iam::{ACCOUNT}:user/ana"


def generated(principals: dict[Role, tuple[str, ...]], key: str = KEY) -> PolicyDocument:
    return parse_policy(json.dumps(least_privilege(key, principals)))


def may(document: PolicyDocument, arn: str) -> frozenset[str]:
    return frozenset().union(*(a.actions for a in accesses(document, (), KEY) if a.principal.value == arn))


@pytest.mark.parametrize("role", list(Role))
def test_each_role_gets_what_it_needs_and_no_more(role: Role) -> None:
    assert may(generated({role: (ROLE,)}), ROLE) == NEEDS[role]


def test_needs_are_those_that_the_documents_name() -> None:
    assert NEEDS[Role.PLATFORM] == {"GenerateDataKey", "Decrypt"}
    assert powers(NEEDS[Role.INSPECTOR]) == (Power.LOOK,)
    assert NEEDS[Role.OPERATOR] > NEEDS[Role.INSPECTOR] | {"ReEncryptFrom", "ReEncryptTo", "Decrypt"}
    assert NEEDS[Role.RESPONDER] > NEEDS[Role.OPERATOR] | {"DisableKey", "PutKeyPolicy"}
    assert not {Power.OPEN, Power.SEAL} & set(powers(NEEDS[Role.ADMINISTRATOR]))


def test_without_administrators_the_account_administers_and_may_not_use() -> None:
    document = generated({Role.PLATFORM: (ROLE,)})
    root = may(document, f"arn:aws:iam::{ACCOUNT}:root")
    assert root == NEEDS[Role.ADMINISTRATOR]
    assert "PutKeyPolicy" in root
    assert "Decrypt" not in root


def test_named_administrators_stand_in_for_the_account() -> None:
    document = generated({Role.PLATFORM: (ROLE,), Role.ADMINISTRATOR: (ANA,)})
    assert may(document, f"arn:aws:iam::{ACCOUNT}:root") == frozenset()
    assert may(document, ANA) == NEEDS[Role.ADMINISTRATOR]


def test_several_of_one_role_share_a_statement_and_the_partition_is_the_keys() -> None:
    raw = least_privilege(KEY.replace("arn:aws:", "arn:aws-cn:"), {Role.OPERATOR: (ROLE, ANA, ROLE)})
    operators = next(s for s in raw["Statement"] if s["Sid"] == "OperatorsRewrapAndReencrypt")
    assert operators["Principal"] == {"AWS": [ROLE, ANA]}
    assert raw["Statement"][0]["Principal"] == {"AWS": f"arn:aws-cn:iam::{ACCOUNT}:root"}


@pytest.mark.parametrize(
    "arn",
    [
        "*",
        "platform",
        ACCOUNT,
        f"arn:aws:iam::{ACCOUNT}:role/*",
        "arn:aws:iam::*:role/platform",
        f"arn:aws:sts::{ACCOUNT}:assumed-role/platform/session",
        f"{ROLE}\n",
        f"{ROLE}\x1b[31m",
    ],
)
def test_what_is_no_principal_of_a_role_is_refused_by_name(arn: str) -> None:
    with pytest.raises(PolicyError, match="not an IAM role, user or account, for platform") as caught:
        least_privilege(KEY, {Role.PLATFORM: (arn,)})
    assert "\x1b" not in caught.value.message


def test_a_key_without_an_account_is_refused() -> None:
    with pytest.raises(PolicyError, match="of which account"):
        least_privilege("alias/tokens", {Role.PLATFORM: (ROLE,)})


def changes(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> list[str]:
    return [str(c) for c in compare(parse_policy(policy(*before)), parse_policy(policy(*after)), KEY).changes]


def test_a_comparison_says_who_gains_and_who_loses_what() -> None:
    before = [statement(), statement(Principal={"AWS": ANA}, Action=["kms:Decrypt", "kms:Encrypt"])]
    after = [statement(Action="kms:*"), statement(Principal={"AWS": ANA}, Action=["kms:Encrypt", "kms:Sign"])]
    gained, swapped = changes(before, after)
    assert gained == "role/platform gains: do everything but Decrypt"
    assert swapped == "user/ana gains: Sign; loses: Decrypt"


def test_effects_name_who_opens_and_seals_first_and_fold_administration() -> None:
    bot = f"arn:aws:iam::{ACCOUNT}:user/bot"
    before = [statement(Principal={"AWS": [ANA, bot]}, Action=["kms:Decrypt", "kms:GenerateDataKey"])]
    after = [
        statement(Action=["kms:Decrypt", "kms:Tag*", "kms:Enable*"]),
        statement(
            Principal={"AWS": ANA},
            Action=["kms:Encrypt", "kms:Sign", "kms:Verify*", "kms:PutKeyPolicy", "kms:UntagResource"],
        ),
    ]
    found = compare(parse_policy(policy(*before)), parse_policy(policy(*after)), KEY)
    assert effects(found.changes) == (
        "gains Decrypt: role/platform",
        "loses Decrypt: user/ana, user/bot",
        "gains Encrypt, Sign, Verify and 1 more: user/ana",
        "loses GenerateDataKey: user/ana, user/bot",
        "gains PutKeyPolicy: user/ana",
        "administrative actions: user/ana gains 1, role/platform gains 3",
    )


def test_another_condition_is_another_access() -> None:
    narrowed = statement(Condition={"StringEquals": {"kms:CallerAccount": ACCOUNT}})
    assert changes([statement()], [narrowed]) == [
        "role/platform loses: Decrypt",
        f"role/platform, if kms:CallerAccount StringEquals {ACCOUNT} gains: Decrypt",
    ]


def test_another_order_changes_nothing_for_anybody() -> None:
    first, second = statement(), statement(Principal={"AWS": ANA})
    found = compare(parse_policy(policy(first, second)), parse_policy(policy(second, first)), KEY)
    assert found.changes == ()
    assert not found.same
    same = compare(parse_policy(policy(first)), parse_policy(policy(first)), KEY)
    assert same.same


def test_hostile_texts_are_inert_in_the_lines_that_differ() -> None:
    hostile = statement(Sid="\u202e\x1b]0;owned\x07", Principal={"AWS": "\x1b[31m\u202e"})
    found = compare(parse_policy(policy(statement())), parse_policy(policy(hostile)), KEY)
    assert found.lines
    assert all(line.isprintable() for line in (*found.lines, *(str(c) for c in found.changes)))

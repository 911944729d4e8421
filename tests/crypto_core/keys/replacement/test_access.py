"""Who may do less under the new key, and which command makes a key for the roles of the old one: pure."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from click.testing import CliRunner

from console.__main__ import keydeck as command
from crypto_core.incidents.keys.rotation.new_key import making, roles
from crypto_core.keys.grants import parse_grant
from crypto_core.keys.policy.access import Access, accesses
from crypto_core.keys.policy.document import parse_policy
from crypto_core.keys.policy.least_privilege import NEEDS, Role, least_privilege
from crypto_core.keys.replacement import losses
from crypto_core.keys.state import KeyState

ACCOUNT = "123456789012"
ROOT = f"arn:aws:iam::{ACCOUNT}:root"
KEY = f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/00000000-0000-4000-8000-000000000000"
USES = ["kms:Decrypt", "kms:GenerateDataKey"]


def role(name: str, account: str = ACCOUNT) -> str:
    return f"arn:aws:iam::{account}:role/{name}"


def allow(principal: Any, actions: Any = USES, **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Principal": principal, "Action": actions, "Resource": "*", **more}


def aws(*arns: str) -> dict[str, Any]:
    return {"AWS": list(arns)}


def found(*statements: dict[str, Any], grants: tuple[dict[str, Any], ...] = ()) -> tuple[Access, ...]:
    document = parse_policy(json.dumps({"Version": "2012-10-17", "Statement": list(statements)}))
    return accesses(document, [parse_grant(g) for g in grants], KEY)


def lost(before: tuple[Access, ...], after: tuple[Access, ...], *accepted: str) -> list[str]:
    return list(losses(before, after, account=ACCOUNT, accepted=accepted))


VIA = {"StringEquals": {"kms:ViaService": "s3.eu-west-1.amazonaws.com"}}
FOREIGN = role("partner", "999999999999")


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        (allow(aws(role("a"))), allow(aws(role("a"))), []),
        (allow(aws(role("a"))), allow(aws(role("a")), "kms:*"), []),
        (allow(aws(role("a"))), allow("*"), []),
        (allow(aws(role("a"))), allow(aws(role("b"))), ["role/a loses Decrypt and GenerateDataKey"]),
        (allow(aws(role("a"))), allow(aws(role("a")), "kms:Decrypt"), ["role/a loses GenerateDataKey"]),
        (allow(aws(role("a")), "kms:Describe*"), allow(aws(role("b"))), []),
        (allow(aws(ROOT)), allow(aws(ACCOUNT)), []),
        (allow(aws(ROOT)), allow(aws(role("a"))), [f"account {ACCOUNT} loses Decrypt and GenerateDataKey"]),
        (
            allow(aws(role("a"))),
            allow(aws(ROOT)),
            [
                (
                    "role/a: Decrypt and GenerateDataKey under the new key only if IAM policies of account "
                    f"{ACCOUNT} allow it"
                )
            ],
        ),
        (
            allow(aws(role("a"))),
            allow(aws(role("a")), Condition=VIA),
            [
                (
                    "role/a: Decrypt and GenerateDataKey under the new key only if StringEquals "
                    "kms:ViaService s3.eu-west-1.amazonaws.com"
                )
            ],
        ),
        (allow(aws(role("a")), Condition=VIA), allow(aws(role("a")), Condition=VIA), []),
        (allow(aws(role("a")), Condition=VIA), allow(aws(role("a"))), []),
        (
            allow(aws(FOREIGN)),
            allow(aws(ROOT)),
            ["role/partner of account 999999999999 loses Decrypt and GenerateDataKey"],
        ),
        (allow({"Service": "backup.amazonaws.com"}), allow({"Service": "backup.amazonaws.com"}), []),
        (
            allow({"Service": "backup.amazonaws.com"}),
            allow(aws(ROOT)),
            ["backup.amazonaws.com loses Decrypt and GenerateDataKey"],
        ),
        (allow(aws("AROAEXAMPLEID1234567")), allow(aws(role("a"))), []),
    ],
)
def test_who_may_less(before: dict[str, Any], after: dict[str, Any], says: list[str]) -> None:
    assert lost(found(before), found(after)) == says


def test_everyone_but_somebody_is_not_that_somebody() -> None:
    but = {
        "Effect": "Allow",
        "NotPrincipal": aws(role("a")),
        "Action": USES,
        "Resource": "*",
    }
    assert lost(found(allow(aws(role("b")))), found(but)) == ["role/b loses Decrypt and GenerateDataKey"]
    assert lost(found(but), found(allow(aws(role("a"))))) == [
        "everyone but role/a loses Decrypt and GenerateDataKey"
    ]
    assert lost(found(but), found(but)) == []


def test_what_the_new_policy_denies_is_lost() -> None:
    denial = allow(aws(role("a")), "kms:Decrypt") | {"Effect": "Deny"}
    after = found(allow(aws(role("a"))), denial)
    assert lost(found(allow(aws(role("a")))), after) == ["role/a loses Decrypt"]


def test_what_the_old_policy_denies_is_not_missed() -> None:
    denial = allow(aws(role("a")), "kms:*") | {"Effect": "Deny"}
    assert lost(found(allow(aws(role("a"))), denial), found(allow(aws(role("b"))))) == []


def test_a_grant_counts_under_both_keys_with_its_constraints() -> None:
    grant = {"GrantId": "1", "GranteePrincipal": role("a"), "Operations": ["Decrypt"]}
    narrow = grant | {"Constraints": {"EncryptionContextSubset": {"t": "1"}}}
    nobody = allow(aws(role("admin")), "kms:PutKeyPolicy")
    assert lost(found(nobody, grants=(grant,)), found(nobody)) == ["role/a loses Decrypt"]
    assert lost(found(nobody, grants=(grant,)), found(nobody, grants=(grant,))) == []
    assert lost(found(nobody, grants=(narrow,)), found(nobody, grants=(grant,))) == []
    assert "only if" in lost(found(nobody, grants=(grant,)), found(nobody, grants=(narrow,)))[0]


@pytest.mark.parametrize(
    ("accepted", "left"),
    [
        ((), ["a", "b"]),
        ((role("a"),), ["b"]),
        ((role("*"),), []),
        (("a",), ["a", "b"]),
        ((ACCOUNT,), ["a", "b"]),
    ],
)
def test_a_loss_that_is_meant_is_left_out(accepted: tuple[str, ...], left: list[str]) -> None:
    before, after = found(allow(aws(role("a"), role("b")))), found(allow(aws(role("c"))))
    says = [f"role/{name} loses Decrypt and GenerateDataKey" for name in left]
    assert lost(before, after, *accepted) == says


@pytest.mark.parametrize("name", [ACCOUNT, ROOT])
def test_an_account_is_accepted_by_its_id_or_its_root(name: str) -> None:
    after = found(allow(aws(role("c"))))
    assert lost(found(allow(aws(ROOT))), after, name) == []
    assert lost(found(allow(aws(ACCOUNT))), after, ACCOUNT) == []


@pytest.mark.parametrize(
    "one", [Role.ADMINISTRATOR, Role.PLATFORM, Role.INSPECTOR, Role.OPERATOR, Role.RESPONDER]
)
def test_a_role_that_was_made_by_us_is_recognised(one: Role) -> None:
    assert roles(NEEDS[one]) == (one,)


def test_full_control_is_both() -> None:
    (access,) = found(allow(aws(role("a")), "kms:*"))
    assert roles(access.actions) == (Role.RESPONDER, Role.ADMINISTRATOR)


def test_the_command_makes_a_key_under_which_nobody_loses_anything() -> None:
    before = found(
        allow(aws(role("admin")), "kms:*"),
        allow(aws(role("platform"))),
        allow(aws(role("reader")), "kms:Decrypt"),
        allow(aws(role("ops")), [*USES, "kms:ReEncrypt*"]),
        allow(aws(role("eyes")), "kms:Describe*"),
        grants=({"GrantId": "1", "GranteePrincipal": role("job"), "Operations": ["Decrypt"]},),
    )
    old = KeyState(KEY, "eu-west-1", rotation_enabled=True, rotation_period_days=180, multi_region=True)
    make, untold = making(old, before, "eu-west-1")
    assert untold == ()
    words = shlex.split(make)
    assert words[:3] == ["keydeck", "keys", "create"]
    given: dict[Role, list[str]] = {}
    for option, value in pairwise(words):
        if option.startswith("--") and option[2:] in set(Role):
            given.setdefault(Role(option[2:]), []).append(value)
    assert given[Role.INSPECTOR] == [role("eyes")]
    assert words[-3:] == ["--multi-region", "--rotation-period", "180"]
    policy = least_privilege(KEY, given)
    after = accesses(parse_policy(json.dumps(policy)), (), KEY)
    assert lost(before, after) == []
    # The command takes what is printed: it gets as far as looking for a database.
    told = CliRunner().invoke(command, [*words[1:], "--dry-run"], env={"DATABASE_URL": None})
    assert "No such option" not in told.output
    assert "Usage" not in told.output


@pytest.mark.parametrize(
    ("statement", "word"),
    [
        (allow(aws(ROOT), "kms:*"), "name each role that works with tokens"),
        (allow(aws(FOREIGN), Condition=VIA), "role/partner"),
        (allow({"Service": "backup.amazonaws.com"}), "backup.amazonaws.com may Decrypt"),
        (allow("*", Condition=VIA), "everyone may Decrypt"),
    ],
)
def test_who_can_not_be_named_by_a_role_is_said_beside(statement: dict[str, Any], word: str) -> None:
    make, untold = making(KeyState(KEY, "eu-west-1"), found(statement), "eu-west-1")
    assert make == "keydeck keys create --platform ARN"
    assert word in " ".join(untold)
    assert "Which role the platform has can't be read" in " ".join(untold)


def test_a_policy_that_was_not_read_and_another_region_are_said() -> None:
    _, untold = making(KeyState(KEY, "eu-west-1"), None, "us-east-1")
    told = " ".join(untold)
    assert "could not be read" in told
    assert "made in us-east-1; put eu-west-1 first in KEYDECK_REGIONS" in told


def test_a_period_that_kms_does_not_tell_is_a_year() -> None:
    state = KeyState(KEY, "eu-west-1", rotation_enabled=True)
    assert making(state, (), "eu-west-1")[0].endswith("--rotation-period 365")
    off = replace(state, rotation_enabled=False)
    assert "--rotation-period" not in making(off, (), "eu-west-1")[0]

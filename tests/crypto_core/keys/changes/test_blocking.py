"""One principal is refused a key at once, whatever else allows it, and that is undone by its name."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError
from sqlalchemy import Engine

from console.container import Container
from console.sandbox.sandbox import Sandbox
from crypto_core.guard.consent import Consent, Danger
from crypto_core.keyring.cipher import TokenCipher
from crypto_core.keys.changes.change import ChangeKind, KeyChange
from crypto_core.keys.changes.plan import ChangeResult
from crypto_core.keys.changes.service import KeyChangeService
from crypto_core.keys.policy.access import accesses
from crypto_core.keys.policy.block_statement import (
    BlockStatement,
    StandingBlock,
    arns_of,
    blocked_by,
    with_blocks,
    without_block,
)
from crypto_core.keys.policy.document import parse_policy
from crypto_core.values.errors import NotConfirmedError, RefusedError
from tests.crypto_core.keys.changes.test_policies import (
    ACCOUNT,
    ADMINISTERED,
    ON_CALL,
    PLATFORM,
    policy,
    statement,
)
from tests.platform_rows import connect_github

INTRUDER = f"arn:aws:iam::{ACCOUNT}:role/intruder"
SESSION = f"arn:aws:sts::{ACCOUNT}:assumed-role/intruder/anything"

Made = Callable[[KeyChange], ChangeResult]


def block(key: str, principal: str = INTRUDER) -> KeyChange:
    return KeyChange(ChangeKind.BLOCK, key, principal=principal)


def unblock(key: str, principal: str = INTRUDER) -> KeyChange:
    return KeyChange(ChangeKind.UNBLOCK, key, principal=principal)


@pytest.fixture
def intruder(sandbox: Sandbox) -> Iterator[Any]:
    """KMS as a session of a role that is held to the key's policy and grants."""
    access_key = f"ASIA{uuid4().hex[:16].upper()}"
    sandbox.control.add_principal(access_key, "intruder", kind="role", session="anything")
    yield sandbox.client("kms", access_key)
    sandbox.control.clear()


def refused(call: Callable[[], object]) -> bool:
    try:
        call()
    except ClientError as error:
        return error.response["Error"]["Code"] == "AccessDeniedException"
    return False


@pytest.mark.parametrize("named", [INTRUDER, SESSION], ids=["role", "session"])
def test_a_principal_is_refused_whatever_allows_it_and_let_in_again_by_its_name(
    changes: KeyChangeService, made: Made, key: str, kms: Any, intruder: Any, named: str
) -> None:
    # By the account's statement, by one of its own, and by a grant.
    before = policy(ADMINISTERED, statement({"AWS": INTRUDER}, "Decrypt", "Encrypt"))
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=before)
    kms.create_grant(KeyId=key, GranteePrincipal=INTRUDER, Operations=["Decrypt"])
    blob = intruder.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    opens = lambda: intruder.decrypt(CiphertextBlob=blob, KeyId=key)  # noqa: E731
    assert not refused(opens)
    plan = changes.plan_change(block(key, named))
    # The account's statement leaves to IAM whether it is the platform: that takes typing.
    assert (plan.danger, plan.operations, plan.tokens) == (Danger.TYPED, ("PutKeyPolicy",), None)
    assert plan.warnings[0].startswith("Make sure that it is not the platform")
    assert plan.policy_changes == ("loses Decrypt: role/intruder", "loses Encrypt: role/intruder")
    assert f"Undone with: keydeck keys unblock {plan.confirmation} {named}" in plan.does
    assert any("to Decrypt works again once that is undone" in warning for warning in plan.warnings)
    assert made(plan.change).verified
    assert refused(opens)
    assert refused(lambda: intruder.put_key_policy(KeyId=key, PolicyName="default", Policy=before))
    assert changes.plan_change(block(key, named)).changes_nothing
    assert kms.decrypt(CiphertextBlob=blob, KeyId=key)["Plaintext"] == b"x"

    plan = changes.plan_change(unblock(key, named))
    assert plan.danger is Danger.TYPED
    assert made(plan.change).verified
    assert not refused(opens)
    assert json.loads(kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"]) == json.loads(before)
    with pytest.raises(RefusedError, match="is not blocked on this key"):
        changes.plan_change(unblock(key, named))


def test_to_let_somebody_in_again_takes_nothing_away_whoever_asks(
    changes: KeyChangeService, made: Made, key: str, kms: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The account's root is whom a default policy names: nobody else is seen to keep Decrypt then."""
    root = f"arn:aws:iam::{ACCOUNT}:root"
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=policy(statement({"AWS": root}, "*")))
    made(block(key))
    api = changes._reader.kms
    asking = replace(api.identity(), arn=root)
    monkeypatch.setattr(type(api), "identity", lambda _: asking)
    plan = changes.plan_change(unblock(key))
    assert (plan.tokens, plan.refused_unless_typed, "tokens" in str(list(plan.seen))) == (None, False, False)
    assert made(plan.change).verified


def test_a_press_is_enough_where_the_policy_says_who_the_platform_is(
    changes: KeyChangeService, key: str, kms: Any
) -> None:
    account = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    uses = statement({"AWS": PLATFORM}, "Decrypt", "GenerateDataKey")
    administered = statement(account, "PutKeyPolicy", "GetKeyPolicy", "DescribeKey", "ListGrants")
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=policy(administered, uses))
    plan = changes.plan_change(block(key))
    assert (plan.danger, plan.warnings) == (Danger.CONFIRM, ())
    assert changes.make_change(plan, Consent.pressed(plan)).verified


@pytest.mark.parametrize("who", ["*", {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}], ids=["everyone", "account"])
def test_who_may_be_the_platform_unnamed_is_blocked_only_by_typing(
    changes: KeyChangeService, key: str, kms: Any, who: Any
) -> None:
    administered = statement({"AWS": ON_CALL}, "PutKeyPolicy", "GetKeyPolicy", "DescribeKey", "ListGrants")
    unnamed = policy(administered, statement(who, "Decrypt", "GenerateDataKey"))
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=unnamed)
    plan = changes.plan_change(block(key))
    assert plan.danger is Danger.TYPED
    with pytest.raises(NotConfirmedError):
        changes.make_change(plan, Consent.pressed(plan))


def test_nobody_blocks_themselves_or_the_last_who_may_change_the_policy(
    changes: KeyChangeService, key: str, kms: Any
) -> None:
    for me in (ON_CALL, f"arn:aws:sts::{ACCOUNT}:assumed-role/keydeck-oncall/me"):
        with pytest.raises(RefusedError, match="is who you are here"):
            changes.plan_change(block(key, me))
    reads = statement({"AWS": ON_CALL}, "Decrypt", "GetKeyPolicy", "DescribeKey", "ListGrants")
    only = policy(statement({"AWS": INTRUDER}, "*"), reads)
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=only)
    with pytest.raises(RefusedError, match="no principal may put another one"):
        changes.plan_change(block(key))


def test_the_platform_is_blocked_only_by_whoever_types_how_many_tokens_that_shuts_out(
    changes: KeyChangeService, services: Container, platform: Engine, key: str, kms: Any
) -> None:
    uses = statement({"AWS": PLATFORM}, "Decrypt", "GenerateDataKey")
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=policy(ADMINISTERED, uses))
    sealing = TokenCipher(services.keyring.trusting(key))
    for number in range(2):
        connect_github(platform, f"gh-blocked-{number}", sealing.encrypt(f"gho_{number}", key).stored)
    plan = changes.plan_change(block(key, PLATFORM))
    assert (plan.danger, plan.confirmation) == (Danger.TYPED, "2")
    assert any("makes data keys under the key" in warning for warning in plan.warnings)
    with pytest.raises(NotConfirmedError):
        changes.make_change(plan, Consent.by_option(plan))


def test_a_blocks_statement_is_one_a_principal_and_changes_no_other() -> None:
    before = parse_policy(policy(ADMINISTERED, statement({"AWS": PLATFORM}, "Decrypt")))
    once = parse_policy(json.dumps(with_blocks(before, [BlockStatement(INTRUDER)])))
    twice = parse_policy(json.dumps(with_blocks(once, [BlockStatement(INTRUDER)])))
    assert once.raw == twice.raw
    both = parse_policy(json.dumps(with_blocks(once, [BlockStatement(PLATFORM)])))
    assert blocked_by(both) == (StandingBlock((INTRUDER,)), StandingBlock((PLATFORM,)))
    assert [a.principal.value for a in accesses(both)] == [f"arn:aws:iam::{ACCOUNT}:root"]
    assert without_block(parse_policy(json.dumps(without_block(both, PLATFORM))), INTRUDER) == dict(
        before.raw
    )
    # A policy with one statement that is no list stays readable, too.
    single = parse_policy(json.dumps({"Version": "2012-10-17", "Statement": ADMINISTERED}))
    assert without_block(parse_policy(json.dumps(with_blocks(single, [BlockStatement(INTRUDER)]))), INTRUDER)[
        "Statement"
    ] == [ADMINISTERED]


@pytest.mark.parametrize("name", ["role/a*", "role/?", "group/a", "role/", "root"])
def test_a_block_is_of_one_principal(name: str) -> None:
    with pytest.raises(RefusedError):
        arns_of(f"arn:aws:iam::{ACCOUNT}:{name}")


@pytest.mark.parametrize(
    ("address", "endpoint", "let_in"),
    [
        ("203.0.113.7", "", True),
        ("203.0.114.7", "", False),
        ("2001:db8::1", "", False),
        ("10.20.1.17", "vpce-0a1b2c3d4e5f60718", True),
        ("10.20.1.17", "vpce-0000000000000000f", False),
        ("203.0.113.7", "vpce-0000000000000000f", False),
        ("AWS Internal", "", False),
        ("[/red]\x1b[2J", "", False),
    ],
)
def test_from_where_a_block_does_not_hold(address: str, endpoint: str, let_in: bool) -> None:
    block = BlockStatement(PLATFORM, ("203.0.113.0/24", "vpce-0a1b2c3d4e5f60718"))
    assert block.lets_in(address, endpoint) is let_in
    assert not BlockStatement(PLATFORM).lets_in(address, endpoint)
    assert BlockStatement.read(str(block)) == block

"""Who is blocked on which key, since when and by whom: from the policy and the journal, hostile ones too."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from crypto_core.keys.changes import blocks as module
from crypto_core.keys.changes.blocks import Block, Blocks
from crypto_core.keys.changes.change import ChangeKind, KeyChange
from crypto_core.keys.changes.plan import ChangeResult
from crypto_core.keys.changes.service import KeyChangeService
from crypto_core.keys.policy.block_statement import BlockStatement, arns_of
from crypto_core.values.errors import DatabaseUnreachableError, InterruptedRunError
from tests.crypto_core.keys.changes.test_blocking import INTRUDER, SESSION, unblock
from tests.crypto_core.keys.changes.test_policies import ACCOUNT, ADMINISTERED, PLATFORM, policy
from tests.crypto_core.values.test_clean_models import LONG, WORST

Made = Callable[[KeyChange], ChangeResult]


@pytest.mark.parametrize("named", [INTRUDER, SESSION], ids=["role", "session"])
def test_a_block_is_read_with_its_time_and_its_maker_and_is_gone_once_undone(
    changes: KeyChangeService, made: Made, key: str, kms: Any, named: str
) -> None:
    assert changes.read_blocks((key,)) == Blocks()
    alias = f"alias/blocks-{uuid4().hex[:8]}"
    kms.create_alias(AliasName=alias, TargetKeyId=key)
    before = datetime.now(UTC)
    made(KeyChange(ChangeKind.BLOCK, alias, principal=named))
    read = changes.read_blocks((key, key))
    (block,) = read.found
    assert (block.key_arn, block.principal, block.patterns) == (key, arns_of(named)[0], arns_of(named))
    assert block.since is not None
    assert before <= block.since <= datetime.now(UTC)
    assert "oncall" in block.by
    assert read.gaps == ()
    for principal in (INTRUDER, SESSION):
        assert read.of((principal,)) == read.of((principal,), (key,)) == (block,)
    assert read.of((PLATFORM,)) == read.of((INTRUDER,), ("another",)) == read.of(("*",)) == ()
    made(unblock(key, block.principal))
    assert changes.read_blocks((key,)) == Blocks()


def test_several_blocks_of_one_policy_are_read_each_with_its_time_and_from_where_it_does_not_hold(
    changes: KeyChangeService, made: Made, key: str
) -> None:
    sources = ("198.51.100.0/24", "vpce-0a1b2c3d4e5f60718")
    both = (BlockStatement(INTRUDER), BlockStatement(PLATFORM, sources))
    made(KeyChange(ChangeKind.BLOCK, key, blocks=both))
    found = changes.read_blocks((key,)).found
    assert [(one.principal, one.only_from) for one in found] == [(INTRUDER, ()), (PLATFORM, sources)]
    assert all(one.since is not None and "oncall" in one.by for one in found)


def test_a_role_with_a_path_is_blocked_by_its_session() -> None:
    block = Block("key", INTRUDER, arns_of(SESSION))
    assert block.refuses(f"arn:aws:iam::{ACCOUNT}:role/teams/intruder")
    assert not block.refuses(f"arn:aws:iam::{ACCOUNT}:role/other-intruder")


def test_a_statement_that_somebody_wrote_into_the_policy_has_no_time_and_does_no_harm(
    changes: KeyChangeService, key: str, kms: Any
) -> None:
    def refusing(*arns: str) -> dict[str, Any]:
        condition = {"ArnLike": {"aws:PrincipalArn": list(arns)}}
        names = {"Sid": "KeydeckBlocksElsewhere", "Effect": "Deny", "Principal": {"AWS": "*"}}
        return names | {"Action": "kms:*", "Resource": "*", "Condition": condition}

    role = f"arn:aws:iam::{ACCOUNT}:role/[/red]"
    kms.put_key_policy(
        KeyId=key, PolicyName="default", Policy=policy(ADMINISTERED, refusing(role, "*" * 99 + "nobody"))
    )
    (block,) = changes.read_blocks((key,)).found
    assert (block.principal, block.since, block.by) == (role, None, "")
    assert json.loads(kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"])


@pytest.mark.parametrize("text", [WORST, LONG], ids=["worst", "10 MB"])
def test_what_others_wrote_is_cleaned(text: str) -> None:
    block = Block("key", text, (text,), None, text)
    for shown in (block.principal, block.by, Blocks(gaps=(text,)).gaps[0]):
        assert shown.isprintable()
        assert len(shown) <= 700
    assert not block.refuses(text)


def test_what_cannot_be_read_is_a_gap_and_the_rest_is_told(
    changes: KeyChangeService,
    made: Made,
    key: str,
    deny: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made(KeyChange(ChangeKind.BLOCK, key, principal=INTRUDER))

    def unreachable(**_: object) -> tuple[()]:
        raise DatabaseUnreachableError("No connection.")

    with monkeypatch.context() as patch:
        patch.setattr(changes._journal, "entries", unreachable)
        read = changes.read_blocks((key,))
        assert [block.since for block in read.found] == [None]
        assert read.gaps[0].startswith("Since when principals are blocked is not known: No connection.")
    with monkeypatch.context() as patch:
        patch.setattr(module, "MOST_KEYS", 1)
        read = changes.read_blocks((key, "arn:aws:kms:eu-west-1:123456789012:key/other"))
        assert len(read.found) == 1
        assert read.gaps == ("Who is blocked on 1 more keys was not asked.",)
    deny("kms:GetKeyPolicy")
    read = changes.read_blocks((key,))
    assert read.found == ()
    assert read.gaps[0].startswith(f"Who is blocked on …{key[-4:]} is not known:")
    assert "kms:GetKeyPolicy" in read.gaps[0]


def test_reading_ends_once_it_is_cancelled(changes: KeyChangeService, key: str) -> None:
    from crypto_core.values.cancellation import Cancellation

    cancelled = Cancellation()
    cancelled.set()
    with pytest.raises(InterruptedRunError):
        changes.read_blocks((key,), cancelled=cancelled)

"""Who decrypts under a job's source key and may not under its target: by policy, by grant, by being seen."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from threading import Event
from typing import Any

import pytest

from console.container import Container
from console.sandbox.endpoint.control import Denial
from console.sandbox.sandbox import Sandbox
from crypto_core.keys.replacement import AccessComparison, UseSeen
from crypto_core.values.errors import EventStoreError
from tests.console.command_types import NewKey
from tests.crypto_core.keys.replacement.test_access import ROOT, VIA, allow, aws, role
from tests.screens.samples import HOSTILE

MANAGE = allow(aws(ROOT), "kms:*Policy")
MANAGES = ["kms:PutKeyPolicy", "kms:DescribeKey", "kms:GetKeyPolicy", "kms:*Grant*"]
ADMIN = {"Sid": "manage"} | MANAGE | {"Action": MANAGES}
PLATFORM = role("platform")


class Seen:
    """Events of uses by key, as a store has them."""

    def __init__(self, by: dict[str, tuple[str, ...]], gaps: tuple[str, ...] = ()) -> None:
        self.by = by
        self.gaps = gaps
        self.trouble: Exception | None = None

    def uses(self, key_arns: Sequence[str], since: datetime, *, cancelled: Event | None = None) -> UseSeen:
        if self.trouble is not None:
            raise self.trouble
        by = tuple(name for arn in key_arns for name in self.by.get(arn, ()))
        return UseSeen(since, uses=len(by), by=by, covered_until=since, gaps=self.gaps)


@pytest.fixture
def key(sandbox: Sandbox, new_key: NewKey) -> Callable[..., str]:
    """Make a key with a policy of these statements; returns its ARN."""

    def make(*statements: dict[str, Any]) -> str:
        arn = new_key()
        policy = json.dumps({"Version": "2012-10-17", "Statement": [ADMIN, *statements]})
        sandbox.client("kms").put_key_policy(KeyId=arn, PolicyName="default", Policy=policy)
        return arn

    return make


def comparison(services: Container, witness: Seen | None = None, identity: str = "") -> AccessComparison:
    keys: Any = services.services.keys
    policies: Any = services.services.policies
    return AccessComparison(keys, policies, witness, identity=lambda: identity)


def test_who_the_target_does_not_name_is_named_with_what_is_lost(
    services: Container, key: Callable[..., str]
) -> None:
    old, new = key(allow(aws(PLATFORM, role("backup")))), key(allow(aws(PLATFORM)))
    assert comparison(services).compare_access(old, new).losses == (
        "role/backup loses Decrypt and GenerateDataKey",
    )
    assert comparison(services).compare_access(new, old).losses == ()
    assert comparison(services).compare_access(old, new, [role("back*")]).losses == ()
    assert comparison(services).compare_access(old, new, [role("other")]).losses != ()


def test_a_grant_counts_as_a_policy_does(
    services: Container, sandbox: Sandbox, key: Callable[..., str]
) -> None:
    old, new = key(), key()
    sandbox.client("kms").create_grant(KeyId=old, GranteePrincipal=PLATFORM, Operations=["Decrypt"])
    assert comparison(services).compare_access(old, new).losses == ("role/platform loses Decrypt",)
    sandbox.client("kms").create_grant(KeyId=new, GranteePrincipal=PLATFORM, Operations=["Decrypt"])
    assert comparison(services).compare_access(old, new).losses == ()


def test_who_was_seen_and_whom_the_new_keys_policy_does_not_know_is_named(
    services: Container, key: Callable[..., str]
) -> None:
    old, new = key(allow(aws(ROOT))), key(allow(aws(role("b"))))
    told = comparison(services, Seen({old: (PLATFORM,)})).compare_access(old, new).losses
    assert "role/platform loses Decrypt; it used the old key in the last 90 days" in told


def test_where_iam_decides_under_both_only_who_was_seen_under_the_new_key_surely_may(
    services: Container, key: Callable[..., str]
) -> None:
    old, new = key(allow(aws(ROOT))), key(allow(aws(ROOT)))
    assert comparison(services).compare_access(old, new).losses == ()
    (told,) = comparison(services, Seen({old: (PLATFORM,)})).compare_access(old, new).losses
    assert told.startswith("role/platform: Decrypt under the new key only if IAM policies of account ")
    assert (
        comparison(services, Seen({old: (PLATFORM,), new: (PLATFORM,)})).compare_access(old, new).losses == ()
    )
    assert comparison(services, Seen({old: (PLATFORM,)})).compare_access(old, new, [PLATFORM]).losses == ()


def test_who_is_named_by_both_policies_and_seen_loses_nothing(
    services: Container, key: Callable[..., str]
) -> None:
    named = allow(aws(PLATFORM), Condition=VIA)
    old, new = key(named), key(named)
    assert comparison(services, Seen({old: (PLATFORM,)})).compare_access(old, new).losses == ()


def test_keydecks_own_uses_are_the_preflights(services: Container, key: Callable[..., str]) -> None:
    old, new = key(allow(aws(ROOT))), key(allow(aws(ROOT)))
    witness = Seen({old: (role("ops/oncall"), "s3.amazonaws.com")})
    session = "arn:aws:sts::123456789012:assumed-role/oncall/ana"
    assert comparison(services, witness, session).compare_access(old, new).losses == ()
    assert (
        comparison(services, witness, session.replace("oncall", "other")).compare_access(old, new).losses
        != ()
    )


def test_a_new_denial_under_conditions_is_told(services: Container, key: Callable[..., str]) -> None:
    named = allow(aws(PLATFORM))
    old, new = key(named), key(named, allow("*", Effect="Deny", Condition=VIA))
    (told,) = comparison(services).compare_access(old, new).losses
    assert "denies Decrypt and GenerateDataKey by StringEquals kms:ViaService" in told


@pytest.mark.parametrize("operation", ["kms:GetKeyPolicy", "kms:ListGrants"])
def test_what_may_not_be_read_is_a_loss_and_never_taken_as_fine(
    services: Container, sandbox: Sandbox, key: Callable[..., str], operation: str
) -> None:
    old, new = key(allow(aws(PLATFORM))), key(allow(aws(PLATFORM)))
    sandbox.control.add_denial(Denial("*", operation))
    told = comparison(services).compare_access(old, new).losses
    assert len(told) == 2
    assert all(loss.startswith("whoever decrypts today: ") and "can't be read" in loss for loss in told)
    assert comparison(services).compare_access(old, new, [PLATFORM]).losses == told
    accepted = comparison(services).compare_access(old, new, ["*"])
    assert accepted.losses == ()
    assert accepted.notes == told


def test_what_the_events_do_not_tell_is_noted(services: Container, key: Callable[..., str]) -> None:
    old, new = key(allow(aws(PLATFORM))), key(allow(aws(PLATFORM)))
    witness = Seen({}, gaps=("eu-west-1: not fetched",))
    (note,) = comparison(services, witness).compare_access(old, new).notes
    assert note.endswith("is not fully known: eu-west-1: not fetched")
    witness.trouble = EventStoreError("The store is damaged.")
    assert "The store is damaged." in comparison(services, witness).compare_access(old, new).notes[0]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_are_cleaned(services: Container, key: Callable[..., str], text: str) -> None:
    old, new = key(allow(aws(ROOT))), key(allow(aws(ROOT)))
    told = comparison(services, Seen({old: (role(text),)}, gaps=(text,))).compare_access(old, new)
    for line in (*told.losses, *told.notes):
        assert line.isprintable()
        assert len(line) <= 600

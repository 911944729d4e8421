"""What keeps a change from being made: limits, read-only, consent, tokens, a key that has changed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from sqlalchemy import Engine, text

from console.container import Container
from console.sandbox.world import World
from console.settings import load
from crypto_core.database.state.journal import JournalEntry
from crypto_core.guard.consent import Consent, Danger
from crypto_core.keyring.cipher import TokenCipher
from crypto_core.keys.changes.change import ChangeKind, KeyChange
from crypto_core.keys.changes.plan import UNCOUNTED, ChangePlan, ChangeResult
from crypto_core.keys.changes.service import RECIPES, KeyChangeService
from crypto_core.keys.policy.block_statement import BlockStatement, with_blocks
from crypto_core.keys.policy.document import parse_policy
from crypto_core.reencryption.plan import Selection, Verb
from crypto_core.values import errors
from tests.crypto_core.agreed import agreed
from tests.platform_rows import connect_slack

Made = Callable[[KeyChange], ChangeResult]
Journaled = Callable[[], list[tuple[str, str]]]
Sent = Callable[[], dict[str, int]]

SUSPECT = "arn:aws:iam::123456789012:role/somebody-else"
POLICY = """{"Version": "2012-10-17", "Statement": [
    {"Sid": "all", "Effect": "Allow", "Principal": {"AWS": "123456789012"},
     "Action": "kms:*", "Resource": "*"},
    {"Sid": "look", "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::123456789012:role/auditor"},
     "Action": "kms:DescribeKey", "Resource": "*"}]}"""


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (KeyChange(ChangeKind.ENABLE_ROTATION, "KEY", period_days=89), "90 to 2560 days, not 89"),
        (KeyChange(ChangeKind.ENABLE_ROTATION, "KEY", period_days=2561), "90 to 2560 days, not 2561"),
        (KeyChange(ChangeKind.CREATE, period_days=89), "90 to 2560 days, not 89"),
        (KeyChange(ChangeKind.SCHEDULE_DELETION, "KEY", window_days=6), "7 to 30 days, not 6"),
        (KeyChange(ChangeKind.SCHEDULE_DELETION, "KEY", window_days=31), "7 to 30 days, not 31"),
        (KeyChange(ChangeKind.POINT_ALIAS, "KEY", alias="alias/aws/s3"), "AWS's own"),
        (KeyChange(ChangeKind.POINT_ALIAS, "KEY", alias="[/red]\x1b[2J"), "is not a valid alias"),
        (KeyChange(ChangeKind.POINT_ALIAS, "KEY", alias=""), "is not a valid alias"),
        (KeyChange(ChangeKind.CREATE, alias="a b"), "is not a valid alias"),
        (KeyChange(ChangeKind.CREATE, description="a\u202eb"), "control or format characters"),
        (KeyChange(ChangeKind.CREATE, description="x" * 8193), "too long"),
        (KeyChange(ChangeKind.REPLICATE, "KEY", region="the moon"), "not an AWS Region"),
        (KeyChange(ChangeKind.REVOKE_GRANT, "KEY", grant_id="\x1b[/red]"), "not a grant id"),
        (KeyChange(ChangeKind.BLOCK, "KEY", principal="[/red]\x1b[2J"), "not an IAM role or user"),
        (KeyChange(ChangeKind.BLOCK, "KEY", principal="arn:aws:iam::123456789012:root"), "not an IAM role"),
        (KeyChange(ChangeKind.UNBLOCK, "KEY", principal="*"), "not an IAM role or user"),
    ],
)
def test_what_kms_takes_from_nobody_is_refused_unasked(
    changes: KeyChangeService, key: str, sent: Sent, journaled: Journaled, change: KeyChange, said: str
) -> None:
    sent()
    change = replace(change, key=key) if change.key else change
    with pytest.raises(errors.RefusedError) as caught:
        changes.plan_change(change)
    assert said in caught.value.message
    assert "\x1b" not in str(caught.value)
    assert sent() == {}
    assert journaled() == [(f"keys {change.kind.value}", "refused")]


@pytest.mark.parametrize(
    "change",
    [
        KeyChange(ChangeKind.ENABLE_ROTATION, "KEY", period_days=90),
        KeyChange(ChangeKind.SCHEDULE_DELETION, "KEY", window_days=30),
    ],
)
def test_the_limits_themselves_are_allowed(changes: KeyChangeService, key: str, change: KeyChange) -> None:
    assert changes.plan_change(replace(change, key=key)).operations


def test_a_change_is_consented_to_with_every_field_that_it_gets() -> None:
    @dataclass(frozen=True, slots=True)
    class LaterChange(KeyChange):
        reason: str = ""

    asked = LaterChange(ChangeKind.ROTATE, "k", policy="{}", accept_lockout=True, reason="leaked\x1b")
    assert asked.as_json() == {"change": "rotate", "key": "k", "reason": "leaked"}
    assert LaterChange(ChangeKind.POINT_ALIAS, "k", alias="a").as_json()["alias"] == "alias/a"


def plan_of_each_kind(changes: KeyChangeService, kms: Any) -> dict[ChangeKind, ChangePlan]:
    """A plan of every kind, each of a key for which it can be."""
    metadata = kms.create_key(MultiRegion=True)["KeyMetadata"]
    key, pending = metadata["Arn"], kms.create_key()["KeyMetadata"]["Arn"]
    disabled = kms.create_key()["KeyMetadata"]["Arn"]
    kms.schedule_key_deletion(KeyId=pending)
    kms.disable_key(KeyId=disabled)
    kms.enable_key_rotation(KeyId=key)
    grant = kms.create_grant(
        KeyId=key, GranteePrincipal="arn:aws:iam::123456789012:role/a", Operations=["Decrypt"]
    )["GrantId"]
    blocking = kms.create_key()["KeyMetadata"]["Arn"]
    text = kms.get_key_policy(KeyId=blocking, PolicyName="default")["Policy"]
    blocked = json.dumps(with_blocks(parse_policy(text), [BlockStatement(SUSPECT)]))
    kms.put_key_policy(KeyId=blocking, PolicyName="default", Policy=blocked)
    made = {
        ChangeKind.ENABLE_ROTATION: KeyChange(ChangeKind.ENABLE_ROTATION, key, period_days=180),
        ChangeKind.CREATE: KeyChange(ChangeKind.CREATE),
        ChangeKind.POINT_ALIAS: KeyChange(
            ChangeKind.POINT_ALIAS, key, alias=f"each-{key.rsplit('/', 1)[-1]}"
        ),
        ChangeKind.ENABLE: KeyChange(ChangeKind.ENABLE, disabled),
        ChangeKind.CANCEL_DELETION: KeyChange(ChangeKind.CANCEL_DELETION, pending),
        ChangeKind.PUT_POLICY: KeyChange(ChangeKind.PUT_POLICY, key, policy=POLICY),
        ChangeKind.BLOCK: KeyChange(ChangeKind.BLOCK, key, principal=SUSPECT),
        ChangeKind.UNBLOCK: KeyChange(ChangeKind.UNBLOCK, blocking, principal=SUSPECT),
        ChangeKind.REVOKE_GRANT: KeyChange(ChangeKind.REVOKE_GRANT, key, grant_id=grant),
        ChangeKind.REPLICATE: KeyChange(ChangeKind.REPLICATE, key, region="eu-central-1"),
    }
    return {kind: changes.plan_change(made.get(kind, KeyChange(kind, key))) for kind in ChangeKind}


@pytest.mark.deep
def test_read_only_refuses_every_kind_before_anything_is_sent(
    changes: KeyChangeService, kms: Any, sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans = plan_of_each_kind(changes, kms)
    assert set(plans) == set(ChangeKind) == set(RECIPES)
    assert all(plan.operations for plan in plans.values())
    monkeypatch.setenv("KEYDECK_READ_ONLY", "true")
    container = Container(load().settings)
    sent()
    for kind, plan in plans.items():
        with pytest.raises(errors.ReadOnlyError):
            container.services.key_changes.make_change(plan, agreed(plan))
        # The screens' and the service's word is not all: KMS itself is not asked either.
        for operation in plan.operations:
            with pytest.raises(errors.ReadOnlyError, match=f"kms:{operation} is refused"):
                container.kms.call(operation, KeyId=plan.key_arn)
        if kind is not ChangeKind.CREATE:
            preview = container.services.key_changes.plan_change(plan.change)
            assert "The dry run was not journaled: Keydeck is in read-only mode." in preview.warnings
    container.close()
    assert sent() == {}


def test_every_kind_takes_the_consent_that_its_danger_demands_and_no_less(
    changes: KeyChangeService, kms: Any, sent: Sent, last_entry: Callable[[], JournalEntry]
) -> None:
    plans = plan_of_each_kind(changes, kms)
    typed = {kind for kind, plan in plans.items() if plan.danger is Danger.TYPED}
    assert typed == {
        ChangeKind.ROTATE,
        ChangeKind.PUT_POLICY,
        ChangeKind.BLOCK,
        ChangeKind.UNBLOCK,
        ChangeKind.REVOKE_GRANT,
        ChangeKind.DISABLE,
        ChangeKind.SCHEDULE_DELETION,
    }
    sent()
    others = list(plans.values())
    for number, plan in enumerate(others):
        wrong: list[Consent | None] = [None, agreed(others[number - 1]), Consent.typed(plan, "no")]
        if plan.danger is Danger.TYPED:
            wrong.append(Consent.pressed(plan))
        for consent in wrong:
            with pytest.raises(errors.NotConfirmedError):
                changes.make_change(plan, consent)
            assert last_entry().outcome == "refused"
    assert sent() == {}


@pytest.mark.parametrize("kind", [ChangeKind.DISABLE, ChangeKind.SCHEDULE_DELETION])
def test_a_key_with_tokens_is_kept_unless_their_number_is_typed(
    changes: KeyChangeService, world: World, sent: Sent, journaled: Journaled, kind: ChangeKind
) -> None:
    tokens = len(world.sealed_under(world.old_key))
    plan = changes.plan_change(KeyChange(kind, world.old_key.arn))
    assert plan.tokens is not None
    assert plan.tokens.under >= tokens > 0
    assert plan.refused_unless_typed
    assert plan.confirmation == str(plan.tokens.under)
    assert any(f"{plan.tokens.under} tokens can no longer be opened" in w for w in plan.warnings)
    sent()
    wrong = (
        Consent.by_option(plan),
        Consent.pressed(plan),
        Consent.typed(plan, str(plan.tokens.under - 1)),
        Consent.typed(plan, "alias/tokens"),
    )
    for consent in wrong:
        with pytest.raises(errors.NotConfirmedError):
            changes.make_change(plan, consent)
    assert sent() == {}
    assert [o for _, o in journaled()] == ["dry run", *["refused"] * len(wrong)]


def test_typing_the_number_of_tokens_disables_a_key_that_has_them(
    changes: KeyChangeService, services: Container, kms: Any, key: str, platform: Engine
) -> None:
    put_under(services, platform, key)
    plan = changes.plan_change(KeyChange(ChangeKind.DISABLE, key))
    assert (plan.confirmation, plan.refused_unless_typed) == ("1", True)
    result = changes.make_change(plan, Consent.typed(plan, "1"))
    assert result.verified
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "Disabled"


def test_a_token_that_comes_under_the_key_meanwhile_stops_the_change(
    changes: KeyChangeService, services: Container, kms: Any, key: str, platform: Engine, sent: Sent
) -> None:
    plan = changes.plan_change(KeyChange(ChangeKind.SCHEDULE_DELETION, key))
    assert not plan.refused_unless_typed
    put_under(services, platform, key)
    sent()
    with pytest.raises(errors.RefusedError, match="tokens that it opens was no token, is 1 token"):
        changes.make_change(plan, agreed(plan))
    assert sent() == {}


def test_backups_under_the_key_are_told_but_do_not_keep_it(
    changes: KeyChangeService, services: Container, key: str, platform: Engine, new_key: Callable[[], str]
) -> None:
    put_under(services, platform, key)
    container = Container(load().settings, trust=[key])
    work = container.services.work
    plan = work.plan_reencryption(Verb.REENCRYPT, Selection(under_key=key), new_key())
    assert work.run_plan(plan, Consent.by_option(plan)).done == 1
    container.close()
    found = changes.plan_change(KeyChange(ChangeKind.SCHEDULE_DELETION, key))
    assert not found.refused_unless_typed
    said = "1 replaced envelope in keydeck.envelope_backup: none can be restored without the key."
    assert said in found.warnings


def put_under(services: Container, platform: Engine, key: str) -> None:
    """Seal one more token, under `key`."""
    connect_slack(platform, TokenCipher(services.keyring.trusting(key)).encrypt("xoxb-1-2-test", key).stored)


def test_tokens_that_cannot_be_counted_may_be_there(
    changes: KeyChangeService, key: str, superuser: Engine, sent: Sent, kms: Any
) -> None:
    with superuser.begin() as connection:
        connection.execute(text("REVOKE SELECT ON jira_connection FROM PUBLIC, operator"))
    plan = changes.plan_change(KeyChange(ChangeKind.DISABLE, key))
    assert plan.tokens is not None
    assert plan.tokens.gaps
    assert (plan.refused_unless_typed, plan.confirmation) == (True, UNCOUNTED)
    assert any(w.startswith("Not counted: ") and "jira_connection" in w for w in plan.warnings)
    sent()
    for consent in (Consent.by_option(plan), Consent.typed(plan, "0"), Consent.typed(plan, plan.key_name)):
        with pytest.raises(errors.NotConfirmedError):
            changes.make_change(plan, consent)
    assert sent() == {}
    assert changes.make_change(plan, Consent.typed(plan, UNCOUNTED)).verified


def test_without_the_database_nothing_is_known_of_the_tokens(
    changes: KeyChangeService, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    container = Container(load().settings)
    plan = container.services.key_changes.plan_change(KeyChange(ChangeKind.DISABLE, key))
    container.close()
    assert (plan.refused_unless_typed, plan.confirmation) == (True, UNCOUNTED)
    assert any("can't be counted" in w for w in plan.warnings)
    assert any(w.startswith("The dry run was not journaled") for w in plan.warnings)


def test_without_the_schema_nothing_is_changed(
    changes: KeyChangeService, key: str, superuser: Engine, sent: Sent
) -> None:
    plan = changes.plan_change(KeyChange(ChangeKind.ROTATE, key))
    with superuser.begin() as connection:
        connection.execute(text("DROP SCHEMA keydeck CASCADE"))
    sent()
    for consent in (agreed(plan), None):
        with pytest.raises(errors.MissingSchemaError):
            changes.make_change(plan, consent)
    assert sent() == {}


def test_a_key_that_changed_since_the_preview_is_left_alone(
    changes: KeyChangeService, key: str, kms: Any, sent: Sent, last_entry: Callable[[], JournalEntry]
) -> None:
    plan = changes.plan_change(KeyChange(ChangeKind.ROTATE, key))
    kms.rotate_key_on_demand(KeyId=key)
    sent()
    with pytest.raises(errors.RefusedError) as caught:
        changes.make_change(plan, agreed(plan))
    assert "rotations on demand was 0 of 25, is 1 of 25" in caught.value.message
    assert "Nothing was sent." in caught.value.message
    assert sent() == {}
    assert last_entry().outcome == "refused"
    assert "has changed since the preview" in last_entry().detail


def test_a_policy_that_somebody_put_meanwhile_is_not_overwritten(
    changes: KeyChangeService, key: str, kms: Any
) -> None:
    plan = changes.plan_change(KeyChange(ChangeKind.PUT_POLICY, key, policy=POLICY))
    theirs = POLICY.replace("auditor", "somebody-else")
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=theirs)
    with pytest.raises(errors.RefusedError, match=r"policy was 1 statement, .* is 2 statements"):
        changes.make_change(plan, agreed(plan))
    assert "somebody-else" in kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"]


def test_an_alias_that_came_to_mean_another_key_stops_the_change(
    changes: KeyChangeService, key: str, new_key: Callable[[], str], kms: Any, sent: Sent
) -> None:
    alias = f"alias/moved-{key.rsplit('/', 1)[-1]}"
    kms.create_alias(AliasName=alias, TargetKeyId=key)
    plan = changes.plan_change(KeyChange(ChangeKind.DISABLE, alias))
    assert plan.confirmation == alias
    kms.update_alias(AliasName=alias, TargetKeyId=new_key())
    sent()
    with pytest.raises(errors.RefusedError, match=f"{alias} was {key}, is arn"):
        changes.make_change(plan, agreed(plan))
    assert sent() == {}


@pytest.mark.parametrize(
    "kind",
    [
        ChangeKind.ENABLE,
        ChangeKind.DISABLE,
        ChangeKind.ROTATE,
        ChangeKind.ENABLE_ROTATION,
        ChangeKind.DISABLE_ROTATION,
        ChangeKind.SCHEDULE_DELETION,
        ChangeKind.POINT_ALIAS,
    ],
)
def test_a_key_that_is_pending_deletion_is_left_alone(
    changes: KeyChangeService, key: str, kms: Any, kind: ChangeKind
) -> None:
    kms.schedule_key_deletion(KeyId=key)
    with pytest.raises(errors.RefusedError, match="PendingDeletion"):
        changes.plan_change(KeyChange(kind, key, alias="x"))


def test_what_is_not_pending_deletion_has_none_to_cancel(changes: KeyChangeService, key: str) -> None:
    with pytest.raises(errors.RefusedError, match="is Enabled; this takes a key that is PendingDeletion"):
        changes.plan_change(KeyChange(ChangeKind.CANCEL_DELETION, key))


def test_keys_of_aws_are_left_alone(changes: KeyChangeService, kms: Any) -> None:
    kms.describe_key(KeyId="alias/aws/s3")
    with pytest.raises(errors.RefusedError, match="managed by AWS"):
        changes.plan_change(KeyChange(ChangeKind.DISABLE, "alias/aws/s3"))


def test_a_key_that_is_not_there_is_told_and_journaled(
    changes: KeyChangeService, journaled: Journaled
) -> None:
    missing = "arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-4000-8000-000000000000"
    with pytest.raises(errors.KmsError, match="does not exist"):
        changes.plan_change(KeyChange(ChangeKind.ROTATE, missing))
    assert journaled() == [("keys rotate", "refused")]

"""Each change of a key: what its preview says, that it is made, and that its effect is read back."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest

from console.container import Container
from console.settings import load
from crypto_core.database.state.journal import JournalEntry
from crypto_core.guard.consent import Danger
from crypto_core.keys.changes.change import ChangeKind, KeyChange
from crypto_core.keys.changes.plan import ChangeResult
from crypto_core.keys.changes.service import KeyChangeService
from crypto_core.keys.policy.least_privilege import Role
from crypto_core.values.errors import RefusedError
from crypto_core.values.key_names import in_region, region_of

PLATFORM = "arn:aws:iam::123456789012:role/keydeck-platform"
ROOT = "arn:aws:iam::123456789012:root"

Made = Callable[[KeyChange], ChangeResult]
Journaled = Callable[[], list[tuple[str, str]]]


def facts(result: ChangeResult) -> dict[str, tuple[str, str]]:
    return {f.name: (f.before, f.after) for f in result.facts}


def own_alias(key: str) -> str:
    return f"alias/of-{key.rsplit('/', 1)[-1]}"


def test_rotation_is_enabled_with_its_period_and_disabled(
    made: Made, key: str, kms: Any, journaled: Journaled
) -> None:
    result = made(KeyChange(ChangeKind.ENABLE_ROTATION, key, period_days=180))
    assert (result.verified, result.done) == (True, ("EnableKeyRotation",))
    assert facts(result)["automatic rotation"] == ("off", "every 180 days")
    status = kms.get_key_rotation_status(KeyId=key)
    assert (status["KeyRotationEnabled"], status["RotationPeriodInDays"]) == (True, 180)

    result = made(KeyChange(ChangeKind.DISABLE_ROTATION, key))
    assert facts(result)["automatic rotation"] == ("every 180 days", "off")
    assert result.verified
    assert kms.get_key_rotation_status(KeyId=key)["KeyRotationEnabled"] is False
    ended = ["dry run", "started", "done"]
    assert journaled() == [
        *[("keys enable-rotation", o) for o in ended],
        *[("keys disable-rotation", o) for o in ended],
    ]


def test_without_a_period_the_one_that_is_stays_and_a_key_that_never_rotated_gets_a_year(
    changes: KeyChangeService, made: Made, key: str
) -> None:
    assert changes.plan_change(KeyChange(ChangeKind.ENABLE_ROTATION, key)).expected == {
        "automatic rotation": "every 365 days"
    }
    made(KeyChange(ChangeKind.ENABLE_ROTATION, key, period_days=2560))
    plan = changes.plan_change(KeyChange(ChangeKind.ENABLE_ROTATION, key))
    assert plan.expected == {"automatic rotation": "every 2,560 days"}
    assert (plan.changes_nothing, plan.danger) == (True, Danger.NONE)
    other = made(KeyChange(ChangeKind.ENABLE_ROTATION, key, period_days=90))
    assert facts(other)["automatic rotation"] == ("every 2,560 days", "every 90 days")


def test_what_is_so_already_is_not_sent(
    made: Made, key: str, sent: Callable[[], dict[str, int]], journaled: Journaled
) -> None:
    sent()
    for kind in (ChangeKind.ENABLE, ChangeKind.DISABLE_ROTATION):
        result = made(KeyChange(kind, key))
        assert (result.verified, result.done) == (True, ())
    assert sent() == {}
    assert [outcome for _, outcome in journaled()] == ["dry run", "dry run"]


def test_rotating_now_says_what_it_costs_and_what_it_does_not_achieve(
    changes: KeyChangeService, made: Made, key: str, kms: Any
) -> None:
    plan = changes.plan_change(KeyChange(ChangeKind.ROTATE, key))
    assert (plan.danger, plan.confirmation) == (Danger.TYPED, key.rsplit("/", 1)[-1])
    assert any("rotation 1 of 25, for ever" in sentence for sentence in plan.does)
    assert plan.does_not[0].startswith("Re-encrypts nothing: tokens stay under the key material")
    assert "compromised: re-encrypt" in plan.does_not[1]
    material = kms.describe_key(KeyId=key)["KeyMetadata"]["CurrentKeyMaterialId"]
    result = made(KeyChange(ChangeKind.ROTATE, key))
    assert result.verified
    assert facts(result)["rotations on demand"] == ("0 of 25", "1 of 25")
    now = kms.describe_key(KeyId=key)["KeyMetadata"]["CurrentKeyMaterialId"]
    assert now != material
    assert facts(result)["current key material"] == (material, now)


def test_the_26th_rotation_on_demand_is_refused_before_it_is_sent(
    changes: KeyChangeService,
    key: str,
    kms: Any,
    journaled: Journaled,
    sent: Callable[[], dict[str, int]],
) -> None:
    for _ in range(24):
        kms.rotate_key_on_demand(KeyId=key)
    assert changes.plan_change(KeyChange(ChangeKind.ROTATE, key)).expected == {
        "rotations on demand": "25 of 25"
    }
    kms.rotate_key_on_demand(KeyId=key)
    sent()
    with pytest.raises(RefusedError, match="has had its 25 rotations"):
        changes.plan_change(KeyChange(ChangeKind.ROTATE, key))
    assert sent() == {}
    assert journaled()[-1] == ("keys rotate", "refused")


def test_a_key_is_made_with_policy_alias_and_rotation(
    changes: KeyChangeService, made: Made, key: str, kms: Any, last_entry: Callable[[], JournalEntry]
) -> None:
    alias = own_alias(key)
    change = KeyChange(
        ChangeKind.CREATE,
        alias=alias,
        description="[/red] tokens of team β",
        principals={Role.PLATFORM: (PLATFORM,), Role.INSPECTOR: (f"{PLATFORM}-look",)},
        period_days=120,
    )
    plan = changes.plan_change(change)
    assert plan.operations == ("CreateKey", "CreateAlias", "EnableKeyRotation")
    assert (plan.danger, plan.key_arn) == (Danger.CONFIRM, "")
    assert any("role/keydeck-platform may" in sentence for sentence in plan.does)
    result = made(change)
    assert (result.verified, result.stopped_by, result.next_steps) == (True, "", ())
    assert facts(result)["state"] == ("no key yet", "Enabled")
    assert facts(result)[alias] == ("no such alias", "the new key")
    metadata = kms.describe_key(KeyId=alias)["KeyMetadata"]
    assert (metadata["Arn"], metadata["Description"]) == (result.key_arn, "[/red] tokens of team β")
    assert metadata["MultiRegion"] is False
    assert kms.get_key_rotation_status(KeyId=result.key_arn)["RotationPeriodInDays"] == 120
    statements = json.loads(kms.get_key_policy(KeyId=result.key_arn, PolicyName="default")["Policy"])[
        "Statement"
    ]
    assert {s["Sid"]: s["Principal"]["AWS"] for s in statements} == {
        "AdministerWithoutUse": ROOT,
        "PlatformUsesDataKeys": PLATFORM,
        "InspectorsLook": f"{PLATFORM}-look",
    }
    assert result.key_arn in last_entry().detail


def test_a_key_that_nobody_may_use_is_told_to_be_one(changes: KeyChangeService) -> None:
    plan = changes.plan_change(KeyChange(ChangeKind.CREATE))
    assert plan.operations == ("CreateKey",)
    assert any(
        w.startswith("No platform is named: only the named operators may seal tokens") for w in plan.warnings
    )
    assert "It does not rotate by itself." in plan.warnings


def test_a_new_key_does_not_take_an_alias_from_another(changes: KeyChangeService, key: str, kms: Any) -> None:
    kms.create_alias(AliasName=own_alias(key), TargetKeyId=key)
    with pytest.raises(RefusedError, match="already exists and points at arn") as caught:
        changes.plan_change(KeyChange(ChangeKind.CREATE, alias=own_alias(key)))
    assert key in caught.value.message


def test_an_alias_is_made_and_then_moved_and_the_inventory_knows(
    changes: KeyChangeService,
    made: Made,
    services: Container,
    key: str,
    new_key: Callable[[], str],
    kms: Any,
) -> None:
    alias, other = own_alias(key), new_key()
    change = KeyChange(ChangeKind.POINT_ALIAS, key, alias=alias.removeprefix("alias/"))
    plan = changes.plan_change(change)
    assert (plan.operations, plan.danger) == (("CreateAlias",), Danger.CONFIRM)
    assert made(change).verified
    assert services.services.keys.show(alias).key_arn == key

    plan = changes.plan_change(KeyChange(ChangeKind.POINT_ALIAS, other, alias=alias))
    assert (plan.operations, plan.danger, plan.confirmation) == (("UpdateAlias",), Danger.TYPED, alias)
    assert plan.does_not[0] == "Moves no token, and re-encrypts nothing."
    result = made(KeyChange(ChangeKind.POINT_ALIAS, other, alias=alias))
    assert (result.verified, facts(result)[alias]) == (True, (key, other))
    assert kms.describe_key(KeyId=alias)["KeyMetadata"]["Arn"] == other
    assert alias in services.services.keys.aliases()[other]  # type: ignore[attr-defined]
    assert key not in services.services.keys.aliases()  # type: ignore[attr-defined]
    assert changes.plan_change(KeyChange(ChangeKind.POINT_ALIAS, other, alias=alias)).changes_nothing


def test_moving_the_alias_that_is_written_under_is_warned_of(
    services: Container, key: str, kms: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    alias = own_alias(key)
    kms.create_alias(AliasName=alias, TargetKeyId=key)
    monkeypatch.setenv("TOKEN_ENCRYPTION_KEY_ID", alias)
    container = Container(load().settings)
    plan = container.services.key_changes.plan_change(KeyChange(ChangeKind.DISABLE, key))
    assert any("New tokens are written under this key" in w for w in plan.warnings)
    plan = container.services.key_changes.plan_change(
        KeyChange(ChangeKind.POINT_ALIAS, world_key(container), alias=alias)
    )
    container.close()
    assert any("is the key to write under" in w for w in plan.warnings)


def world_key(container: Container) -> str:
    """Another key that is enabled."""
    return next(k.key_arn for k in container.services.keys.targets() if "alias/tokens" in k.aliases)


def test_a_key_is_disabled_and_enabled(made: Made, changes: KeyChangeService, key: str, kms: Any) -> None:
    plan = changes.plan_change(KeyChange(ChangeKind.DISABLE, key))
    assert (plan.danger, plan.refused_unless_typed) == (Danger.TYPED, False)
    assert plan.confirmation == key.rsplit("/", 1)[-1]
    result = made(KeyChange(ChangeKind.DISABLE, key))
    assert (result.verified, facts(result)["state"]) == (True, ("Enabled", "Disabled"))
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "Disabled"
    assert changes.plan_change(KeyChange(ChangeKind.ENABLE, key)).danger is Danger.CONFIRM
    result = made(KeyChange(ChangeKind.ENABLE, key))
    assert (result.verified, facts(result)["state"]) == (True, ("Disabled", "Enabled"))


def test_a_deletion_is_scheduled_and_cancelled_and_leaves_the_key_disabled(
    made: Made, changes: KeyChangeService, key: str, kms: Any
) -> None:
    result = made(KeyChange(ChangeKind.SCHEDULE_DELETION, key, window_days=7))
    assert (result.verified, facts(result)["state"]) == (True, ("Enabled", "PendingDeletion"))
    day = (datetime.now(UTC) + timedelta(days=7)).date()
    shown = facts(result)["deleted on"][1]
    assert str(day) in shown or str(day - timedelta(days=1)) in shown
    plan = changes.plan_change(KeyChange(ChangeKind.CANCEL_DELETION, key))
    assert "It is Disabled afterwards" in plan.does[0]
    result = made(KeyChange(ChangeKind.CANCEL_DELETION, key))
    assert (result.verified, facts(result)["state"]) == (True, ("PendingDeletion", "Disabled"))
    assert facts(result)["deleted on"][1] == "no"
    assert f"keydeck keys enable {key}" in result.next_steps[0]
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "Disabled"


def test_a_grant_is_taken_back(changes: KeyChangeService, made: Made, key: str, kms: Any) -> None:
    def grant(name: str) -> str:
        return str(
            kms.create_grant(
                KeyId=key, GranteePrincipal=PLATFORM, Operations=["Decrypt", "GenerateDataKey"], Name=name
            )["GrantId"]
        )

    lost, kept = grant("lost"), grant("kept")
    change = KeyChange(ChangeKind.REVOKE_GRANT, key, grant_id=lost)
    plan = changes.plan_change(change)
    assert (plan.danger, plan.operations) == (Danger.TYPED, ("RevokeGrant",))
    assert plan.seen == {"grant": "role/keydeck-platform may Decrypt, GenerateDataKey (lost)"}
    assert any("loses Decrypt and GenerateDataKey" in w for w in plan.warnings)
    result = made(change)
    assert (result.verified, facts(result)["grant"][1]) == (True, "gone")
    assert [g["GrantId"] for g in kms.list_grants(KeyId=key)["Grants"]] == [kept]
    with pytest.raises(RefusedError, match="has no grant"):
        changes.plan_change(change)


def test_a_multi_region_key_is_replicated_with_its_policy_and_read_in_the_other_region(
    changes: KeyChangeService, made: Made
) -> None:
    change = KeyChange(ChangeKind.CREATE, multi_region=True, principals={Role.PLATFORM: (PLATFORM,)})
    primary = made(change).key_arn
    assert ":key/mrk-" in primary
    plan = changes.plan_change(KeyChange(ChangeKind.REPLICATE, primary, region="eu-central-1"))
    assert plan.danger is Danger.CONFIRM
    assert any("KEYDECK_REGIONS" in w for w in plan.warnings)
    result = made(KeyChange(ChangeKind.REPLICATE, primary, region="eu-central-1"))
    assert (result.verified, facts(result)["replica in eu-central-1"]) == (True, ("none", "Enabled"))
    there = boto3.client("kms", region_name="eu-central-1")
    replica = in_region(primary, "eu-central-1")
    assert there.describe_key(KeyId=replica)["KeyMetadata"]["KeyState"] == "Enabled"
    policy = there.get_key_policy(KeyId=replica, PolicyName="default")["Policy"]
    assert "PlatformUsesDataKeys" in policy

    with pytest.raises(RefusedError, match="has a replica in eu-central-1"):
        changes.plan_change(KeyChange(ChangeKind.REPLICATE, primary, region="eu-central-1"))
    with pytest.raises(RefusedError, match="only its primary key is replicated"):
        changes.plan_change(KeyChange(ChangeKind.REPLICATE, replica, region="us-east-1"))
    with pytest.raises(RefusedError, match="rotates with its primary"):
        changes.plan_change(KeyChange(ChangeKind.ROTATE, replica))

    plan = changes.plan_change(KeyChange(ChangeKind.SCHEDULE_DELETION, primary))
    assert any("PendingReplicaDeletion" in sentence for sentence in plan.does)
    assert any("only eu-west-1 is changed" in w for w in plan.warnings)
    result = made(KeyChange(ChangeKind.SCHEDULE_DELETION, primary))
    assert (result.verified, facts(result)["state"][1]) == (True, "PendingReplicaDeletion")


@pytest.mark.parametrize("written", ["primary", "replica"])
def test_of_a_multi_region_key_only_what_opens_the_list_of_tripwires_has_to_stay(
    changes: KeyChangeService, made: Made, written: str
) -> None:
    change = KeyChange(ChangeKind.CREATE, multi_region=True, principals={Role.PLATFORM: (PLATFORM,)})
    primary = made(change).key_arn
    made(KeyChange(ChangeKind.REPLICATE, primary, region="eu-central-1"))
    replica = in_region(primary, "eu-central-1")
    opens, other = (primary, replica) if written == "primary" else (replica, primary)
    changes._reader = replace(changes._reader, list_key=lambda: primary, write_key=opens)
    with pytest.raises(RefusedError, match="list of tripwires is sealed under"):
        changes.plan_change(KeyChange(ChangeKind.DISABLE, opens))
    plan = changes.plan_change(KeyChange(ChangeKind.DISABLE, other))
    assert any(f"The list of tripwires stays open: Keydeck opens it by {opens}" in w for w in plan.warnings)
    boto3.client("kms", region_name=region_of(opens)).disable_key(KeyId=opens)
    with pytest.raises(RefusedError, match="list of tripwires is sealed under"):
        changes.plan_change(KeyChange(ChangeKind.DISABLE, other))


def test_a_key_of_one_region_is_not_replicated(changes: KeyChangeService, key: str) -> None:
    with pytest.raises(RefusedError, match="settled when it was made"):
        changes.plan_change(KeyChange(ChangeKind.REPLICATE, key, region="us-east-1"))


def test_a_key_that_cannot_rotate_is_not_asked_to(changes: KeyChangeService, kms: Any) -> None:
    asymmetric = kms.create_key(KeySpec="RSA_2048", KeyUsage="ENCRYPT_DECRYPT")["KeyMetadata"]["Arn"]
    for kind in (ChangeKind.ENABLE_ROTATION, ChangeKind.ROTATE):
        with pytest.raises(RefusedError, match="its spec is RSA_2048"):
            changes.plan_change(KeyChange(kind, asymmetric))

"""Inventory: one key with its materials, rotations, names, state, replicas, tags and grants."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from console.container import Container
from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World
from crypto_core.aws.kms import KmsApi
from crypto_core.keys.inventory import KeyInventory
from crypto_core.keys.state import KeyMaterial, KeyState
from crypto_core.values.errors import KeyNotFoundError, SettingsError
from tests.crypto_core.keys.inventory.listing import listed


def test_a_key_is_shown_whole(keys: KeyInventory, world: World) -> None:
    state = keys.show(world.current_key.arn)
    assert state.key_arn == world.current_key.arn
    assert (state.region, state.state, state.manager) == ("eu-west-1", "Enabled", "CUSTOMER")
    assert (state.origin, state.spec, state.usage) == ("AWS_KMS", "SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT")
    assert state.aliases == ("alias/tokens",)
    assert (state.name, state.usable, state.multi_region) == ("alias/tokens", True, False)
    assert state.description == "Connection tokens"
    assert (state.rotation_enabled, state.rotation_period_days) == (True, 365)
    assert state.next_rotation_at is not None
    assert state.next_rotation_at > datetime.now(UTC) - timedelta(days=1)
    assert state.current_material_id == world.current_key.material_ids[-1]
    assert state.last_used_at is not None
    assert state.last_used_for in (
        "Decrypt",
        "GenerateDataKey",
        "GenerateDataKeyWithoutPlaintext",
        "ReEncrypt",
        "Encrypt",
    )
    assert state.missing == {}


def test_materials_are_numbered_from_the_first(keys: KeyInventory, world: World) -> None:
    state = keys.show(world.current_key.arn)
    assert [m.key_material_id for m in state.materials] == list(world.current_key.material_ids)
    assert [m.state for m in state.materials] == ["NON_CURRENT", "CURRENT"]
    assert state.materials[0].since == state.created_at
    assert state.materials[1].since is not None
    assert state.materials[1].since > state.materials[0].since  # type: ignore[operator]
    assert [state.material_number(m) for m in world.current_key.material_ids] == [1, 2]
    assert state.material_number("of another key") is None
    assert state.material_number(None) is None


def test_many_rotations_keep_their_order(
    keys: KeyInventory, new_key: Callable[[], str], sandbox: Sandbox
) -> None:
    arn, now = new_key(), datetime.now(UTC)
    first = keys.show(arn).current_material_id
    sandbox.control.backdate(arn, created=now - timedelta(days=900))
    ids = [first] + [sandbox.control.rotate(arn, at=now - timedelta(days=800 - 100 * n)) for n in range(5)]
    state = keys.show(arn)
    assert [state.material_number(material) for material in ids] == [1, 2, 3, 4, 5, 6]
    assert state.current_material_id == ids[-1]
    since = [m.since for m in state.materials]
    assert since == sorted(since, key=str)


@pytest.mark.parametrize("name", ["arn", "key_id", "alias", "alias_arn"])
def test_a_key_is_found_by_any_of_its_names(keys: KeyInventory, world: World, name: str) -> None:
    key = world.old_key
    spelt = {
        "arn": key.arn,
        "key_id": key.key_id,
        "alias": key.alias,
        "alias_arn": key.arn.replace(f"key/{key.key_id}", key.alias),
    }[name]
    assert keys.show(spelt).key_arn == keys.describe(spelt).key_arn == key.arn


def test_a_key_without_an_alias_is_named_by_its_end(keys: KeyInventory, new_key: Callable[[], str]) -> None:
    arn = new_key()
    assert keys.show(arn).name == f"…{arn[-4:]}"


def test_a_key_pending_deletion_shows_its_deadline(
    keys: KeyInventory, new_key: Callable[[], str], kms: Any
) -> None:
    arn = new_key()
    kms.schedule_key_deletion(KeyId=arn, PendingWindowInDays=7)
    state = keys.show(arn)
    assert (state.state, state.usable) == ("PendingDeletion", False)
    assert state.deletion_at is not None
    assert timedelta(days=6) < state.deletion_at - datetime.now(UTC) <= timedelta(days=7)
    assert "rotation" not in state.missing
    assert listed(keys, arn).deletion_at == state.deletion_at


def test_a_disabled_key_is_shown_with_its_materials(
    keys: KeyInventory, new_key: Callable[[], str], kms: Any
) -> None:
    arn = new_key()
    kms.disable_key(KeyId=arn)
    state = keys.show(arn)
    assert (state.state, state.usable) == ("Disabled", False)


@pytest.mark.parametrize(
    ("parameters", "spec"),
    [
        ({"KeySpec": "RSA_2048", "KeyUsage": "SIGN_VERIFY"}, "RSA_2048"),
        ({"KeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC"}, "HMAC_256"),
    ],
)
def test_a_key_that_cannot_rotate_raises_no_alarm(
    keys: KeyInventory, kms: Any, parameters: dict[str, str], spec: str
) -> None:
    arn = kms.create_key(**parameters)["KeyMetadata"]["Arn"]
    state = keys.show(arn)
    assert (state.spec, state.rotation_enabled, state.materials) == (spec, None, ())
    assert not {"rotation", "materials"} & set(state.missing)
    assert arn not in {target.key_arn for target in keys.targets()}


def test_a_key_that_is_not_there_is_told(keys: KeyInventory) -> None:
    missing = "arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-0000-0000-000000000000"
    for name in (missing, "alias/not-there", "00000000-0000-0000-0000-000000000000"):
        with pytest.raises(KeyNotFoundError, match="does not exist"):
            keys.show(name)
        with pytest.raises(KeyNotFoundError):
            keys.describe(name)


@pytest.mark.parametrize("name", ["", "tokens", "arn:aws:s3:::bucket", "alias/", "key/1", "'; --", "a b"])
def test_what_is_no_key_name_is_refused_before_kms_is_asked(
    keys: KeyInventory, services: Container, name: str
) -> None:
    before = services.kms.calls
    with pytest.raises(SettingsError, match="Not a KMS key"):
        keys.show(name)
    assert services.kms.calls == before


def test_an_alias_that_moves_is_seen_when_aliases_are_read_again(
    keys: KeyInventory, kms: Any, new_key: Callable[[], str]
) -> None:
    first, second = new_key(), new_key()
    alias = f"alias/moving-{first[-12:]}"
    kms.create_alias(AliasName=alias, TargetKeyId=first)
    assert keys.show(first).aliases == (alias,)
    kms.update_alias(AliasName=alias, TargetKeyId=second)
    keys.refresh_aliases()
    assert (keys.describe(first).aliases, keys.describe(second).aliases) == ((), (alias,))
    kms.delete_alias(AliasName=alias)


def test_hostile_descriptions_come_out_clean(keys: KeyInventory, kms: Any) -> None:
    arn = kms.create_key(Description="a\x1b[31mb\u202ec[/red]\nd" + "x" * 500)["KeyMetadata"]["Arn"]
    description = keys.show(arn).description
    assert description.startswith("a[31mbc[/red] d")
    assert description.isprintable()
    assert len(description) <= 200


def test_a_key_is_a_json_document(keys: KeyInventory, world: World) -> None:
    document = keys.show(world.current_key.arn).as_json()
    assert document["key_state"] == "Enabled"
    assert [m["key_material_id"] for m in document["materials"]] == list(world.current_key.material_ids)
    assert datetime.fromisoformat(document["created_at"]).tzinfo is not None
    assert KeyState("arn", "r", materials=(KeyMaterial("m", None, None),)).as_json()["materials"] == [
        {"key_material_id": "m", "state": None, "since": None, "rotation": None, "expires_at": None}
    ]


def test_a_multi_region_key_names_its_primary_and_replicas(environment: dict[str, str], kms: Any) -> None:
    primary = str(kms.create_key(MultiRegion=True)["KeyMetadata"]["Arn"])
    replica = str(kms.replicate_key(KeyId=primary, ReplicaRegion="us-east-1")["ReplicaKeyMetadata"]["Arn"])
    kms.enable_key_rotation(KeyId=primary, RotationPeriodInDays=180)
    inventory = KeyInventory(KmsApi(["eu-west-1", "us-east-1"]), detailed=10_000)
    first, second = inventory.show(primary), inventory.show(replica)
    for state in (first, second):
        assert (state.multi_region, state.primary_arn, state.replica_arns) == (True, primary, (replica,))
        assert (state.rotation_enabled, state.rotation_period_days) == (True, 180)
    assert (first.is_replica, first.rotatable) == (False, True)
    assert (second.is_replica, second.rotatable, second.region) == (True, False, "us-east-1")
    assert first.as_json()["replicas"] == [{"key_arn": replica, "region": "us-east-1"}]
    assert listed(inventory, replica) == second


def test_a_single_region_key_has_no_primary(keys: KeyInventory, new_key: Callable[[], str]) -> None:
    state = keys.show(new_key())
    assert (state.multi_region, state.primary_arn, state.replica_arns) == (False, None, ())
    assert (state.is_replica, state.rotatable) == (False, True)


def test_tags_and_grants_come_with_a_key(keys: KeyInventory, kms: Any) -> None:
    arn = kms.create_key(Tags=[{"TagKey": "team", "TagValue": "[/red]\x1b[31mplatform"}])["KeyMetadata"][
        "Arn"
    ]
    assert keys.show(arn).grants == ()
    grantee = "arn:aws:iam::123456789012:role/legacy"
    kms.create_grant(KeyId=arn, GranteePrincipal=grantee, Operations=["Decrypt"], Name="a\x1b]0;t\x07b")
    state = keys.show(arn)
    assert state.tags == {"team": "[/red][31mplatform"}
    assert state.grants is not None
    (grant,) = state.grants
    assert (grant.grantee.value, grant.operations) == (grantee, ("Decrypt",))
    assert grant.name.isprintable()
    assert listed(KeyInventory(KmsApi(), detailed=10_000), arn) == state
    document = state.as_json()
    assert document["tags"] == dict(state.tags)
    assert document["grants"][0]["grantee"] == grantee


def test_rotations_on_demand_are_counted(
    keys: KeyInventory, new_key: Callable[[], str], kms: Any, sandbox: Sandbox
) -> None:
    arn = new_key()
    assert keys.show(arn).on_demand_used == 0
    sandbox.control.backdate(arn, created=datetime.now(UTC) - timedelta(days=900))
    sandbox.control.rotate(arn, at=datetime.now(UTC) - timedelta(days=400))
    kms.rotate_key_on_demand(KeyId=arn)
    kms.rotate_key_on_demand(KeyId=arn)
    state = keys.show(arn)
    assert [m.rotation for m in state.materials] == [None, "AUTOMATIC", "ON_DEMAND", "ON_DEMAND"]
    assert (state.on_demand_used, state.as_json()["on_demand_rotations_used"]) == (2, 2)


def test_rotations_on_demand_are_unknown_where_materials_may_not_be_listed(
    keys: KeyInventory, new_key: Callable[[], str], deny: Callable[..., None]
) -> None:
    arn = new_key()
    deny("kms:ListKeyRotations")
    assert keys.show(arn).on_demand_used is None


def test_the_use_of_a_key_is_known_from_a_day_on(
    keys: KeyInventory, new_key: Callable[[], str], world: World
) -> None:
    unused = keys.show(new_key())
    assert unused.last_used_at is None
    assert unused.use_tracked_since is not None
    assert unused.use_tracked_since >= (unused.created_at or datetime.now(UTC))


def test_imported_material_is_there_with_its_state(keys: KeyInventory, kms: Any) -> None:
    arn = kms.create_key(Origin="EXTERNAL")["KeyMetadata"]["Arn"]
    state = keys.show(arn)
    assert (state.origin, state.state, state.rotatable) == ("EXTERNAL", "PendingImport", False)


class Expiring(KmsApi):
    """The endpoint, whose imported material expires: moto imports none."""

    def call(self, operation: str, *, region: str | None = None, **parameters: Any) -> dict[str, Any]:
        answer = super().call(operation, region=region, **parameters)
        if operation == "DescribeKey":
            answer["KeyMetadata"] |= {"Origin": "EXTERNAL", "ValidTo": EXPIRY}
        if operation == "ListKeyRotations":
            for rotation in answer["Rotations"]:
                rotation |= {"ImportState": "IMPORTED", "ValidTo": EXPIRY}
        return answer


EXPIRY = datetime(2027, 3, 1, tzinfo=UTC)


def test_imported_material_tells_when_it_expires(
    environment: dict[str, str], new_key: Callable[[], str]
) -> None:
    state = KeyInventory(Expiring()).show(new_key())
    assert (state.expires_at, state.rotatable) == (EXPIRY, False)
    assert [(m.expires_at, m.import_state) for m in state.materials] == [(EXPIRY, "IMPORTED")]
    assert state.as_json()["expires_at"] == "2027-03-01T00:00:00+00:00"

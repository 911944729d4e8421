"""KMS keys as an operator sees them: whole where that is allowed, and what is missing by its IAM action."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from console.sandbox.endpoint import Denial, Fault
from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World
from console.settings import load
from console.wiring import Wired, wire
from crypto_core.errors import (
    KeyNotFoundError,
    KmsAccessDeniedError,
    KmsThrottledError,
    KmsUnreachableError,
    SettingsError,
)
from crypto_core.keys.inventory import KeyInventory
from crypto_core.keys.state import CustomKeyStore, KeyMaterial, KeyState
from crypto_core.kms import KmsApi


@pytest.fixture
def keys(services: Wired) -> KeyInventory:
    found = services.services.keys
    assert isinstance(found, KeyInventory)
    return found


@pytest.fixture
def kms(sandbox: Sandbox) -> Any:
    return sandbox.client("kms")


@pytest.fixture
def deny(sandbox: Sandbox) -> Iterator[Callable[..., None]]:
    """Refuses IAM actions to everybody until the test ends."""

    def add(*actions: str, resource: str = "*") -> None:
        for action in actions:
            sandbox.control.add_denial(Denial("*", action, resource))

    yield add
    sandbox.control.clear()


def listed(keys: KeyInventory, arn: str) -> KeyState:
    (found,) = [state for state in keys.list() if state.key_arn == arn]
    return found


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
    assert state.last_used_for in ("Decrypt", "GenerateDataKey", "ReEncrypt", "Encrypt")
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


def test_the_list_has_every_key_once_named_ones_first(
    keys: KeyInventory, world: World, new_key: Callable[[], str]
) -> None:
    arns = {new_key(), new_key(), world.current_key.arn, world.old_key.arn}
    states = keys.list()
    found = [state.key_arn for state in states]
    assert arns <= set(found)
    assert len(set(found)) == len(found)
    named = [bool(state.aliases) for state in states]
    assert named == sorted(named, reverse=True)
    assert listed(keys, world.current_key.arn) == keys.show(world.current_key.arn)


class InPages(KmsApi):
    """The endpoint's lists, which come whole, in pages of two as KMS may give them."""

    def call(self, operation: str, *, region: str | None = None, **parameters: Any) -> dict[str, Any]:
        items = {"ListKeys": "Keys", "ListAliases": "Aliases"}.get(operation)
        begin = int(parameters.pop("Marker", 0))
        answer = super().call(operation, region=region, **parameters)
        if items is None:
            return answer
        page, rest = answer[items][begin : begin + 2], answer[items][begin + 2 :]
        return {items: page, "Truncated": bool(rest), **({"NextMarker": str(begin + 2)} if rest else {})}


def test_a_listing_of_several_pages_is_read_whole(
    environment: dict[str, str], new_key: Callable[[], str], kms: Any
) -> None:
    made = [new_key() for _ in range(5)]
    for arn in made:
        kms.create_alias(AliasName=f"alias/paged-{arn[-12:]}", TargetKeyId=arn)
    states = KeyInventory(InPages()).list()
    assert states == KeyInventory(KmsApi()).list()
    aliases = {state.key_arn: state.aliases for state in states}
    assert [aliases[arn] for arn in made] == [(f"alias/paged-{arn[-12:]}",) for arn in made]


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


def test_targets_are_the_enabled_symmetric_keys(
    keys: KeyInventory, new_key: Callable[[], str], kms: Any, world: World
) -> None:
    enabled, disabled, leaving = new_key(), new_key(), new_key()
    kms.disable_key(KeyId=disabled)
    kms.schedule_key_deletion(KeyId=leaving)
    targets = {target.key_arn for target in keys.targets()}
    assert {enabled, world.current_key.arn} <= targets
    assert not {disabled, leaving} & targets


def test_a_key_that_is_not_there_is_told(keys: KeyInventory) -> None:
    missing = "arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-0000-0000-000000000000"
    for name in (missing, "alias/not-there", "00000000-0000-0000-0000-000000000000"):
        with pytest.raises(KeyNotFoundError, match="does not exist"):
            keys.show(name)
        with pytest.raises(KeyNotFoundError):
            keys.describe(name)


@pytest.mark.parametrize("name", ["", "tokens", "arn:aws:s3:::bucket", "alias/", "key/1", "'; --", "a b"])
def test_what_is_no_key_name_is_refused_before_kms_is_asked(
    keys: KeyInventory, services: Wired, name: str
) -> None:
    before = services.kms.calls
    with pytest.raises(SettingsError, match="Not a KMS key"):
        keys.show(name)
    assert services.kms.calls == before


def test_a_trusted_key_is_shown_even_if_it_is_gone(environment: dict[str, str]) -> None:
    gone = "arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-0000-0000-000000000000"
    inventory = KeyInventory(KmsApi(), guarding=lambda: [gone, "alias/gone"])
    state = listed(inventory, gone)
    assert (state.state, state.usable, state.region) == ("NotFound", False, "eu-west-1")


@pytest.mark.parametrize(
    ("action", "part", "lost"),
    [
        ("kms:GetKeyRotationStatus", "rotation", "rotation_enabled"),
        ("kms:ListKeyRotations", "materials", "materials"),
        ("kms:GetKeyLastUsage", "last use", "last_used_at"),
        ("kms:ListAliases", "aliases", "aliases"),
        ("kms:ListResourceTags", "tags", "tags"),
        ("kms:ListGrants", "grants", "grants"),
    ],
)
def test_a_missing_permission_is_named_and_the_rest_is_there(
    environment: dict[str, str],
    deny: Callable[..., None],
    world: World,
    action: str,
    part: str,
    lost: str,
) -> None:
    whole = KeyInventory(KmsApi()).show(world.current_key.arn)
    deny(action)
    inventory = KeyInventory(KmsApi())
    for state in (inventory.show(world.current_key.arn), listed(inventory, world.current_key.arn)):
        assert state.missing == {part: f"{action} is not allowed"}
        assert not getattr(state, lost)
        kept = {"state", "description", "rotation_enabled", "materials", "last_used_at", "aliases"} - {lost}
        if lost == "rotation_enabled":
            assert state.next_rotation_at is None
        assert all(getattr(state, name) == getattr(whole, name) for name in kept)
        assert state.as_json()["missing"] == state.missing


def test_everything_but_describe_may_be_missing(
    environment: dict[str, str], deny: Callable[..., None], world: World
) -> None:
    deny("kms:Get*", "kms:List*")
    inventory = KeyInventory(KmsApi(), guarding=lambda: [world.current_key.arn])
    state = inventory.show(world.current_key.arn)
    assert (state.state, state.description) == ("Enabled", "Connection tokens")
    assert set(state.missing) == {"rotation", "materials", "last use", "aliases", "tags", "grants"}
    assert inventory.list()[0].state == "Enabled"


def test_a_list_that_is_not_whole_says_so(
    environment: dict[str, str], deny: Callable[..., None], world: World
) -> None:
    deny("kms:ListKeys")
    inventory = KeyInventory(KmsApi(), guarding=lambda: [world.current_key.arn])
    (state,) = inventory.list()
    assert state.state == "Enabled"
    assert state.missing == {"other keys": "kms:ListKeys is not allowed"}
    with pytest.raises(KmsAccessDeniedError, match="kms:ListKeys"):
        KeyInventory(KmsApi()).list()


def test_a_key_that_may_not_be_described_is_listed_with_the_action(
    environment: dict[str, str], deny: Callable[..., None], world: World
) -> None:
    deny("kms:DescribeKey", resource=world.old_key.key_id)
    inventory = KeyInventory(KmsApi())
    state = listed(inventory, world.old_key.arn)
    assert state.missing == {"state": "kms:DescribeKey is not allowed"}
    assert (state.state, state.aliases, state.usable) == (None, ("alias/tokens-old",), False)
    assert listed(inventory, world.current_key.arn).missing == {}
    with pytest.raises(KmsAccessDeniedError) as caught:
        inventory.show(world.old_key.arn)
    assert caught.value.action == "kms:DescribeKey"


def test_one_key_that_kms_fails_on_does_not_hide_the_others(
    environment: dict[str, str], sandbox: Sandbox, world: World
) -> None:
    count = len(KeyInventory(KmsApi()).list())
    sandbox.control.add_fault(Fault("DescribeKey", "KMSInternalException", count=1))
    inventory = KeyInventory(KmsApi(attempts=1), workers=1)
    states = inventory.list()
    sandbox.control.clear()
    assert len(states) == count
    (failed,) = [state for state in states if "state" in state.missing]
    assert "KMS failed internally" in failed.missing["state"]


def test_parts_that_kms_fails_on_are_told_as_missing(
    environment: dict[str, str], sandbox: Sandbox, world: World
) -> None:
    sandbox.control.add_fault(Fault("ListKeyRotations", "ThrottlingException"))
    state = KeyInventory(KmsApi(attempts=1)).show(world.current_key.arn)
    sandbox.control.clear()
    assert "throttles" in state.missing["materials"]
    assert (state.materials, state.rotation_enabled) == ((), True)


def test_a_kms_that_cannot_be_asked_is_an_error(
    environment: dict[str, str], sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox.control.add_fault(Fault("ListKeys", "ThrottlingException"))
    with pytest.raises(KmsThrottledError):
        KeyInventory(KmsApi(attempts=1)).list()
    sandbox.control.clear()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    inventory = KeyInventory(KmsApi(attempts=1))
    with pytest.raises(KmsUnreachableError):
        inventory.list()
    assert inventory.known_aliases() == {}
    inventory.refresh_aliases()


def test_known_aliases_stay_when_they_can_no_longer_be_read(
    environment: dict[str, str], deny: Callable[..., None], world: World
) -> None:
    inventory = KeyInventory(KmsApi())
    inventory.list()
    deny("kms:ListAliases")
    state = inventory.show(world.old_key.arn)
    assert state.aliases == ("alias/tokens-old",)
    assert inventory.aliases()[world.old_key.arn] == ("alias/tokens-old",)


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


def test_several_regions_are_listed_together(environment: dict[str, str], sandbox: Sandbox) -> None:
    other = boto3.client("kms", region_name="us-east-1")
    arn = other.create_key(Description="of another Region")["KeyMetadata"]["Arn"]
    inventory = KeyInventory(KmsApi(["eu-west-1", "us-east-1"]))
    state = listed(inventory, arn)
    assert (state.region, state.description, state.missing) == ("us-east-1", "of another Region", {})
    assert sandbox.world.current_key.arn in {s.key_arn for s in inventory.list()}
    assert arn not in {s.key_arn for s in KeyInventory(KmsApi(["eu-west-1"])).list()}


def test_a_region_that_is_down_leaves_the_keys_of_the_others(
    environment: dict[str, str], sandbox: Sandbox, world: World
) -> None:
    home, regions = world.current_key.arn, ["eu-west-1", "us-east-1"]
    arn = boto3.client("kms", region_name="us-east-1").create_key()["KeyMetadata"]["Arn"]
    inventory = KeyInventory(KmsApi(regions), guarding=lambda: [home])
    assert inventory.show(home).aliases == ("alias/tokens",)
    try:
        sandbox.control.add_fault(Fault("*", "reset", region="eu-west-1"))
        states = {state.key_arn: state for state in inventory.list()}
        assert set(states) == {arn, home}
        assert (states[arn].state, states[arn].detailed, states[arn].missing) == ("Enabled", True, {})
        assert (states[home].state, states[home].aliases) == (None, ("alias/tokens",))
        assert {part: "No answer" in why for part, why in states[home].missing.items()} == {
            "state": True,
            "other keys": True,
        }
        assert inventory.show(arn) == states[arn]
        (alone,) = KeyInventory(KmsApi(regions)).list()
        assert list(alone.missing) == ["keys of eu-west-1"]
        sandbox.control.add_fault(Fault("*", "reset", region="us-east-1"))
        with pytest.raises(KmsUnreachableError):
            inventory.list()
    finally:
        sandbox.control.clear()


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


class InKeyStore(KmsApi):
    """The endpoint, every key of which is in a custom key store: moto has none of those."""

    asked = 0

    def call(self, operation: str, *, region: str | None = None, **parameters: Any) -> dict[str, Any]:
        if operation == "DescribeCustomKeyStores":
            self.asked += 1
            if self.asked > 1:
                raise AssertionError("asked twice")
            return {
                "CustomKeyStores": [
                    {
                        "CustomKeyStoreId": "cks-1234567890abcdef0",
                        "CustomKeyStoreName": "vault\x1b[2J",
                        "CustomKeyStoreType": "EXTERNAL_KEY_STORE",
                        "ConnectionState": "FAILED",
                        "ConnectionErrorCode": "XKS_PROXY_TIMED_OUT",
                    }
                ],
                "Truncated": False,
            }
        answer = super().call(operation, region=region, **parameters)
        if operation == "DescribeKey":
            answer["KeyMetadata"] |= {
                "CustomKeyStoreId": "cks-1234567890abcdef0",
                "Origin": "EXTERNAL_KEY_STORE",
            }
        return answer


def test_a_key_in_a_custom_key_store_shows_the_connection(
    environment: dict[str, str], new_key: Callable[[], str]
) -> None:
    arn = new_key()
    states = KeyInventory(InKeyStore()).list()
    assert len(states) > 1
    assert {state.key_store for state in states} == {
        CustomKeyStore(
            "cks-1234567890abcdef0", "vault[2J", "EXTERNAL_KEY_STORE", "FAILED", "XKS_PROXY_TIMED_OUT"
        )
    }
    state = KeyInventory(InKeyStore()).show(arn)
    assert (state.rotatable, state.rotation_enabled, state.materials) == (False, None, ())
    assert not {"rotation", "materials", "key store"} & set(state.missing)
    assert state.as_json()["custom_key_store"]["connection_state"] == "FAILED"


class RefusedKeyStore(InKeyStore):
    """The same where stores may not be described."""

    def call(self, operation: str, *, region: str | None = None, **parameters: Any) -> dict[str, Any]:
        if operation == "DescribeCustomKeyStores":
            raise KmsAccessDeniedError("Denied.", action="kms:DescribeCustomKeyStores")
        return super().call(operation, region=region, **parameters)


def test_a_key_store_that_may_not_be_described_is_missing(
    environment: dict[str, str], new_key: Callable[[], str]
) -> None:
    state = KeyInventory(RefusedKeyStore()).show(new_key())
    assert state.key_store == CustomKeyStore("cks-1234567890abcdef0")
    assert state.missing == {"key store": "kms:DescribeCustomKeyStores is not allowed"}


class Counting(KmsApi):
    """Counts the calls by operation."""

    def call(self, operation: str, *, region: str | None = None, **parameters: Any) -> dict[str, Any]:
        made.setdefault(operation, []).append(str(parameters.get("KeyId")))
        return super().call(operation, region=region, **parameters)


made: dict[str, list[str]] = {}


def test_only_some_keys_are_asked_about_in_detail_those_that_guard_tokens_first(
    environment: dict[str, str], new_key: Callable[[], str], kms: Any, world: World
) -> None:
    made.clear()
    mac = kms.create_key(KeyUsage="GENERATE_VERIFY_MAC", KeySpec="HMAC_256")["KeyMetadata"]["Arn"]
    others = [mac, *(new_key() for _ in range(4))]
    guarding = [world.old_key.arn, world.current_key.alias, others[-1]]
    inventory = KeyInventory(Counting(), guarding=lambda: guarding, detailed=4)
    states = {state.key_arn: state for state in inventory.list()}
    detailed = {arn for arn, state in states.items() if state.detailed}
    assert len(detailed) == 4
    assert {world.old_key.arn, world.current_key.arn, others[-1]} <= detailed
    assert sorted(made["ListGrants"]) == sorted(made["ListResourceTags"]) == sorted(detailed)
    rotating = [arn for arn in detailed if states[arn].spec == "SYMMETRIC_DEFAULT"]
    assert sorted(made["ListKeyRotations"]) == sorted(rotating)
    sparse = next(states[arn] for arn in others[1:] if arn not in detailed)
    assert (sparse.materials, sparse.grants, sparse.missing) == ((), None, {})
    assert (sparse.on_demand_used, sparse.rotation_enabled) == (None, False)
    assert inventory.show(sparse.key_arn).detailed


def test_keys_that_attribution_met_are_listed_without_being_configured(
    services: Wired, deny: Callable[..., None], world: World
) -> None:
    services.services.status.take()
    deny("kms:ListKeys")
    states = {state.key_arn: state for state in services.services.keys.list()}
    assert {world.current_key.arn, world.old_key.arn} <= set(states)
    assert states[world.old_key.arn].materials


def test_read_only_reads_all_of_it(environment: dict[str, str], world: World) -> None:
    wired = wire(load({"read_only": True}).settings)
    assert wired.services.keys.show(world.current_key.arn).missing == {}
    assert wired.services.keys.list()
    wired.close()


@pytest.fixture
def moto(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """AWS as plain moto; gives its KMS client."""
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    client = boto3.client("kms", region_name="eu-west-1")
    yield client
    server.stop()


def test_plain_moto_lacks_parts_and_fails_nothing(moto: Any) -> None:
    arn = moto.create_key(Description="in moto")["KeyMetadata"]["Arn"]
    moto.create_alias(AliasName="alias/in-moto", TargetKeyId=arn)
    disabled = moto.create_key()["KeyMetadata"]
    moto.disable_key(KeyId=disabled["KeyId"])
    leaving = moto.create_key()["KeyMetadata"]
    moto.schedule_key_deletion(KeyId=leaving["KeyId"], PendingWindowInDays=7)
    inventory = KeyInventory(KmsApi(attempts=1))
    state = inventory.show(arn)
    assert (state.state, state.description, state.aliases) == ("Enabled", "in moto", ("alias/in-moto",))
    assert "last use" in state.missing
    states = {s.key_arn: s.state for s in inventory.list()}
    assert states[disabled["Arn"]] == "Disabled"
    assert states[leaving["Arn"]] == "PendingDeletion"
    assert arn in {target.key_arn for target in inventory.targets()}

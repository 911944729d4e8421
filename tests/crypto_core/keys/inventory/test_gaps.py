"""Inventory: what may not be read or does not answer is named by its IAM action; the rest is there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest

from console.sandbox.endpoint import Fault
from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World
from crypto_core.aws.kms import KmsApi
from crypto_core.keys.inventory import KeyInventory
from crypto_core.values.errors import KmsAccessDeniedError, KmsThrottledError, KmsUnreachableError
from tests.crypto_core.keys.inventory.listing import listed
from tests.plain_moto import plain_moto


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


@pytest.fixture
def moto(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """AWS as plain moto; gives its KMS client."""
    with plain_moto() as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        yield boto3.client("kms", region_name="eu-west-1")


@pytest.mark.deep
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

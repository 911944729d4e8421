"""Inventory: every key once, in pages, from several Regions, and which are asked about in detail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import boto3

from console.container import Container
from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World
from console.settings import load
from crypto_core.aws.kms import KmsApi
from crypto_core.keys.inventory import KeyInventory
from tests.crypto_core.keys.inventory.listing import listed


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


def test_targets_are_the_enabled_symmetric_keys(
    keys: KeyInventory, new_key: Callable[[], str], kms: Any, world: World
) -> None:
    enabled, disabled, leaving = new_key(), new_key(), new_key()
    kms.disable_key(KeyId=disabled)
    kms.schedule_key_deletion(KeyId=leaving)
    targets = {target.key_arn for target in keys.targets()}
    assert {enabled, world.current_key.arn} <= targets
    assert not {disabled, leaving} & targets


def test_a_trusted_key_is_shown_even_if_it_is_gone(environment: dict[str, str]) -> None:
    gone = "arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-0000-0000-000000000000"
    inventory = KeyInventory(KmsApi(), guarding=lambda: [gone, "alias/gone"])
    state = listed(inventory, gone)
    assert (state.state, state.usable, state.region) == ("NotFound", False, "eu-west-1")


def test_several_regions_are_listed_together(environment: dict[str, str], sandbox: Sandbox) -> None:
    other = boto3.client("kms", region_name="us-east-1")
    arn = other.create_key(Description="of another Region")["KeyMetadata"]["Arn"]
    inventory = KeyInventory(KmsApi(["eu-west-1", "us-east-1"]))
    state = listed(inventory, arn)
    assert (state.region, state.description, state.missing) == ("us-east-1", "of another Region", {})
    assert sandbox.world.current_key.arn in {s.key_arn for s in inventory.list()}
    assert arn not in {s.key_arn for s in KeyInventory(KmsApi(["eu-west-1"])).list()}


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
    services: Container, deny: Callable[..., None], world: World
) -> None:
    services.services.status.take_census()
    deny("kms:ListKeys")
    states = {state.key_arn: state for state in services.services.keys.list()}
    assert {world.current_key.arn, world.old_key.arn} <= set(states)
    assert states[world.old_key.arn].materials


def test_read_only_reads_all_of_it(environment: dict[str, str], world: World) -> None:
    container = Container(load({"read_only": True}).settings)
    assert container.services.keys.show(world.current_key.arn).missing == {}
    assert container.services.keys.list()
    container.close()

"""A replica of a multi-Region key. API reference, ReplicateKey; Developer Guide, "Multi-Region keys"."""

from __future__ import annotations

from collections.abc import Sequence

from crypto_core.errors import KmsError, RefusedError
from crypto_core.key_names import in_region
from crypto_core.keys.changes.change import ChangeKind, KeyChange
from crypto_core.keys.changes.plan import ChangePlan, Draft
from crypto_core.keys.changes.reading import KeyReader, not_known
from crypto_core.keys.changes.recipe import CallRecorder, Readings, Recipe, of_key, require_state
from crypto_core.keys.state import KeyState

STATE = "state"


def _draft(reader: KeyReader, change: KeyChange, state: KeyState) -> Draft:
    region = change.region
    if not state.multi_region:
        raise RefusedError(
            f"{state.name} is a key of one Region; that was settled when it was made.",
            remedy="Make a multi-Region key (keydeck keys create --multi-region) and re-encrypt under it.",
        )
    if state.is_replica:
        raise RefusedError(
            f"{state.name} is a replica; only its primary key is replicated.",
            remedy=f"Name the primary: {state.primary_arn}.",
        )
    require_state(state, "Enabled", remedy="Enable the key first.")
    if region == state.region:
        raise RefusedError(f"{state.name} is in {region} itself.", remedy="Choose another Region.")
    name = replica_in(region)
    present = reader.replica_state(state.key_arn, region)
    if present != "none":
        raise RefusedError(f"{state.name} has a replica in {region}: it is {present}.")
    warnings = []
    try:
        policy = reader.policy_text(state)
        gets = "It gets the primary's present policy; from then on each has its own."
    except KmsError as error:
        policy = ""
        gets = "It gets KMS's default policy: the account's IAM policies say who may use it."
        warnings.append(f"The primary's policy is {not_known(error)}, so it can't be given to the replica.")
    if region not in reader.kms.regions:
        warnings.append(
            f"Keydeck does not look at {region}: add it to KEYDECK_REGIONS to see the replica among the keys."
        )
    return Draft(
        title=f"Replicate {state.name} to {region}",
        seen={STATE: str(state.state), name: present},
        expected={name: "Enabled"},
        operations=("ReplicateKey",),
        does=(
            f"KMS makes a key in {region} with the same key id and material: it opens the same tokens.",
            gets,
        ),
        does_not=(
            "Does not copy aliases, grants or tags.",
            "Does not make the key any safer: it can be used in one place more.",
        ),
        warnings=tuple(warnings),
        policy=policy,
    )


def replica_in(region: str) -> str:
    return f"replica in {region}"


def _act(acting: CallRecorder, plan: ChangePlan) -> None:
    policy = {"Policy": plan.policy} if plan.policy else {}
    acting.call("ReplicateKey", KeyId=acting.key_id, ReplicaRegion=plan.change.region, **policy)


def _look(reader: KeyReader, plan: ChangePlan, key_arn: str) -> Readings:
    region = plan.change.region
    return {
        STATE: reader.state_of(key_arn),
        replica_in(region): reader.replica_state(key_arn, region),
    }


def _is_there(plan: ChangePlan, now: Readings) -> bool:
    """A replica is Creating for a while, then Enabled, or PendingImport where the material is imported."""
    return now[replica_in(plan.change.region)] in ("Creating", "Enabled", "PendingImport")


def _follow(plan: ChangePlan, key_arn: str, done: Sequence[str]) -> tuple[str, ...]:
    return (f"The replica is {in_region(key_arn, plan.change.region)}",) if done else ()


RECIPES = {
    ChangeKind.REPLICATE: Recipe(of_key(_draft), _act, _look, _is_there, _follow),
}

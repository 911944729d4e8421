"""A new key with a least-privilege policy, an alias that points at a key, a replica in another Region.

API reference, CreateKey, CreateAlias, UpdateAlias, EnableKeyRotation, ReplicateKey; Developer Guide,
"Aliases" and "Multi-Region keys".
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from crypto_core.keys.changes.change import ChangeKind, KeyChange
from crypto_core.keys.changes.key_reader import KeyReader, every, list_under, not_known, policy_fact
from crypto_core.keys.changes.lifecycle import AUTOMATIC, STATE
from crypto_core.keys.changes.plan import ChangePlan, Draft
from crypto_core.keys.changes.policies import POLICY, lockout_warnings, read_policy_fact
from crypto_core.keys.changes.recipe import CallRecorder, Readings, Recipe, of_key, require_state
from crypto_core.keys.policy.access import accesses, explain
from crypto_core.keys.policy.block_statement import with_blocks
from crypto_core.keys.policy.comparison import written
from crypto_core.keys.policy.document import parse_policy
from crypto_core.keys.policy.least_privilege import Role, least_privilege
from crypto_core.keys.state import PENDING_DELETION, KeyState
from crypto_core.values.errors import KmsError, RefusedError
from crypto_core.values.key_names import in_region, is_key_arn

NO_KEY = "no such alias"


def _draft(reader: KeyReader, change: KeyChange) -> ChangePlan:
    region = reader.kms.regions[0]
    identity = reader.kms.identity()
    partition = identity.arn.split(":")[1] if identity.arn.startswith("arn:") else "aws"
    # The key that will be there has no id yet; the policy only asks of which account it is.
    home = f"arn:{partition}:kms:{region}:{identity.account}:key/"
    raw = least_privilege(home, change.principals)
    if change.blocks:
        raw = with_blocks(parse_policy(json.dumps(raw)), change.blocks)
    document = parse_policy(json.dumps(raw))
    alias = change.alias_name
    seen, expected = {STATE: "no key yet"}, {STATE: "Enabled", POLICY: policy_fact(document)}
    operations = ["CreateKey"]
    if alias:
        present = reader.alias_target(alias, home)
        if present is not None:
            raise RefusedError(
                f"Alias {alias} already exists and points at {present}.",
                remedy=f"Make the key without it, then: keydeck keys alias {alias} KEY.",
            )
        seen[alias] = NO_KEY
        expected[alias] = "the new key"
        operations.append("CreateAlias")
    if change.period_days is not None:
        expected[AUTOMATIC] = every(change.period_days)
        operations.append("EnableKeyRotation")
    kind = "multi-Region " if change.multi_region else ""
    return ChangePlan(
        change=change,
        title=f"Make a {kind}key in {region}" + (f" called {alias}" if alias else ""),
        key_arn="",
        key_name=alias or "a new key",
        region=region,
        seen=seen,
        expected=expected,
        operations=tuple(operations),
        does=(
            f"Makes a symmetric key in {region}, account {identity.account}, that seals and opens data keys.",
            *(str(s) for s in explain(document, accesses(document))),
        ),
        does_not=(
            "Writes no token: name the key where tokens are to be written, or point an alias at it.",
            "Can't be undone at once: a key is deleted after 7 days at the earliest, and costs till then.",
        ),
        warnings=(*_warnings(change), *lockout_warnings(reader, document, home)),
        policy_lines=tuple(written(raw).splitlines()),
        policy=json.dumps(raw),
    )


def _warnings(change: KeyChange) -> list[str]:
    found = []
    if not change.principals.get(Role.PLATFORM):
        found.append(
            "No platform is named: only the named operators may seal tokens under the key, and IAM policies "
            "can't allow more."
        )
    if not change.principals.get(Role.ADMINISTRATOR):
        found.append("No administrator is named: the account's IAM policies decide who administers it.")
    if change.period_days is None:
        found.append("It does not rotate by itself.")
    return found


def _act(acting: CallRecorder, plan: ChangePlan) -> None:
    answer = acting.call(
        "CreateKey",
        Policy=plan.policy,
        Description=plan.change.description,
        KeyUsage="ENCRYPT_DECRYPT",
        KeySpec="SYMMETRIC_DEFAULT",
        MultiRegion=plan.change.multi_region,
    )
    arn = (answer.get("KeyMetadata") or {}).get("Arn")
    acting.key_arn = arn if is_key_arn(arn) else ""
    if plan.change.alias:
        acting.call("CreateAlias", AliasName=plan.change.alias_name, TargetKeyId=acting.key_id)
    if plan.change.period_days is not None:
        acting.call("EnableKeyRotation", KeyId=acting.key_id, RotationPeriodInDays=plan.change.period_days)


def _look(reader: KeyReader, plan: ChangePlan, key_arn: str) -> Readings:
    state = reader.keys.describe(key_arn)
    now = {STATE: str(state.state), POLICY: read_policy_fact(reader, state)}
    alias = plan.change.alias_name
    if alias:
        target = reader.alias_target(alias, key_arn)
        now[alias] = "the new key" if target == key_arn else target or NO_KEY
    if plan.change.period_days is not None:
        now[AUTOMATIC] = reader.automatic_rotation(state).words
    return now


def _follow(plan: ChangePlan, key_arn: str, done: Sequence[str]) -> tuple[str, ...]:
    left = [operation for operation in plan.operations if operation not in done]
    if not key_arn:
        return ("Check whether a new key exists before making another: keydeck keys list",)
    steps = []
    if "CreateAlias" in left:
        steps.append(f"keydeck keys alias {plan.change.alias_name} {key_arn}")
    if "EnableKeyRotation" in left:
        steps.append(f"keydeck keys enable-rotation {key_arn} --period {plan.change.period_days}")
    if not steps:
        return ()
    return (f"The key {key_arn} exists, with its policy. Still to do:", *steps)


def _draft_alias(reader: KeyReader, change: KeyChange, state: KeyState) -> Draft:
    alias = change.alias_name
    if state.state in PENDING_DELETION:
        raise RefusedError(f"{state.name} is {state.state}: no alias can be pointed at it.")
    seen = _read_alias(reader, change, state)
    same = seen[alias] == state.key_arn
    moves = seen[alias] != NO_KEY and not same
    warnings = []
    if state.state != "Enabled":
        warnings.append(f"The key is {state.state}: calls with {alias} are refused until it is enabled.")
    if reader.writes_by(alias) and not same:
        warnings.append(
            f"{alias} is the key to write under: new tokens go under {state.key_arn} from then on. See that "
            "the platform may use it before: keydeck keys policy KEY --explain."
        )
        if moves and list_under(reader.list_key, seen[alias])[0]:
            warnings.append("Then seal the list of tripwires under it, too: keydeck tripwire reseal.")
    does = [f"{alias} means {state.key_arn} from then on, in {state.region} alone."]
    if moves:
        does.append("A platform that writes by the alias seals new tokens under the new key.")
    does_not = ["Moves no token, and re-encrypts nothing."]
    if moves:
        does_not.append(f"{seen[alias]} is still needed for the tokens under it.")
    return Draft(
        title=f"Point {alias} at {state.key_arn}",
        seen=seen,
        expected={alias: state.key_arn},
        operations=() if same else ("UpdateAlias" if moves else "CreateAlias",),
        typed=moves,
        confirmation=alias,
        does=tuple(does),
        does_not=tuple(does_not),
        warnings=tuple(warnings),
    )


def _read_alias(reader: KeyReader, change: KeyChange, state: KeyState) -> dict[str, str]:
    alias = change.alias_name
    return {alias: reader.alias_target(alias, state.key_arn) or NO_KEY, STATE: str(state.state)}


def _alias_of(plan: ChangePlan, key_id: str) -> dict[str, str]:
    return {"AliasName": plan.change.alias_name, "TargetKeyId": key_id}


def _draft_replica(reader: KeyReader, change: KeyChange, state: KeyState) -> Draft:
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
    name = _replica_in(region)
    seen = _read_replica(reader, change, state)
    if seen[name] != "none":
        raise RefusedError(f"{state.name} has a replica in {region}: it is {seen[name]}.")
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
        seen=seen,
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


def _replica_in(region: str) -> str:
    return f"replica in {region}"


def _read_replica(reader: KeyReader, change: KeyChange, state: KeyState) -> dict[str, str]:
    there = reader.replica_state(state.key_arn, change.region)
    return {STATE: str(state.state), _replica_in(change.region): there}


def _replica_of(plan: ChangePlan, key_id: str) -> dict[str, str]:
    policy = {"Policy": plan.policy} if plan.policy else {}
    return {"KeyId": key_id, "ReplicaRegion": plan.change.region, **policy}


def _is_replicated(plan: ChangePlan, now: Readings) -> bool:
    """A replica is Creating for a while, then Enabled, or PendingImport where the material is imported."""
    return now[_replica_in(plan.change.region)] in ("Creating", "Enabled", "PendingImport")


def _name_replica(plan: ChangePlan, key_arn: str, done: Sequence[str]) -> tuple[str, ...]:
    return (f"The replica is {in_region(key_arn, plan.change.region)}",) if done else ()


RECIPES = {
    ChangeKind.CREATE: Recipe(_draft, _act, _look, follow=_follow),
    ChangeKind.POINT_ALIAS: of_key(_draft_alias, _read_alias, _alias_of),
    ChangeKind.REPLICATE: of_key(_draft_replica, _read_replica, _replica_of, _is_replicated, _name_replica),
}

"""A new key with a least-privilege policy. API reference, CreateKey, CreateAlias, EnableKeyRotation."""

from __future__ import annotations

import json
from collections.abc import Sequence

from crypto_core.errors import RefusedError
from crypto_core.key_names import is_key_arn
from crypto_core.keys.changes.aliases import NO_KEY
from crypto_core.keys.changes.change import ChangeKind, KeyChange
from crypto_core.keys.changes.plan import ChangePlan
from crypto_core.keys.changes.policies import POLICY, lockout_warnings, read_policy_fact
from crypto_core.keys.changes.reading import KeyReader, every, policy_fact
from crypto_core.keys.changes.recipe import CallRecorder, Readings, Recipe
from crypto_core.keys.changes.rotation import AUTOMATIC
from crypto_core.keys.policy.access import accesses
from crypto_core.keys.policy.blocking import with_blocks
from crypto_core.keys.policy.comparison import written
from crypto_core.keys.policy.document import parse_policy
from crypto_core.keys.policy.explanation import explain
from crypto_core.keys.policy.least_privilege import Role, least_privilege

STATE = "state"
NONE_YET = "no key yet"


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
    seen, expected = {STATE: NONE_YET}, {STATE: "Enabled", POLICY: policy_fact(document)}
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
    now = {STATE: str(state.state), POLICY: read_policy_fact(reader, key_arn)}
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


RECIPES = {
    ChangeKind.CREATE: Recipe(_draft, _act, _look, follow=_follow),
}

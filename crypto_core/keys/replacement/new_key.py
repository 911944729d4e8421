"""The first two steps: a key that can take the old one's place, and whether it lets this identity work.

AWS KMS Developer Guide, "Rotate keys manually" and "Testing your permissions".
"""

from __future__ import annotations

from collections.abc import Iterator

from crypto_core.key_names import account_of, region_of
from crypto_core.keys.changes.reading import every
from crypto_core.keys.replacement.access import losses, new_denials
from crypto_core.keys.replacement.guide import (
    GuideStepState,
    Instruction,
    Step,
    StepId,
    command,
    enabling,
    note,
)
from crypto_core.keys.replacement.making import making
from crypto_core.keys.replacement.seen import RotationState
from crypto_core.keys.state import PENDING_DELETION, KeyState

DARK = (
    "Whoever reads tokens under the old key must be allowed Decrypt under the new one before the first token "
    "moves, or the platform goes dark."
)
OWN = "This is what KMS permits to this identity; it says nothing of the platform's."
_ASYMMETRIC = "Tokens need a symmetric key (SYMMETRIC_DEFAULT, ENCRYPT_DECRYPT)."


def new_key(seen: RotationState) -> Step:
    """Return how far the new key is: there, usable, and open to everybody who works with the old one."""
    if seen.new is None:
        return _missing(seen)
    new, old = seen.new, seen.old
    unfit = _unfit(seen, new)
    if unfit:
        return Step(
            StepId.NEW_KEY, GuideStepState.IMPOSSIBLE, (unfit,), (note("Name another key with --by."),)
        )
    evidence = [f"{new.key_arn} is {new.state}", _rotation(new)]
    if new.state != "Enabled":
        return Step(StepId.NEW_KEY, GuideStepState.NOW, tuple(evidence), _mend(new))
    lost = losses(
        seen.old_allowed.accesses or (),
        seen.new_allowed.accesses or (),
        account=account_of(old.key_arn),
        accepted=seen.accepted,
    )
    warnings = [*_warnings(seen, new)]
    gaps = (*seen.old_allowed.gaps, *seen.new_allowed.gaps)
    if seen.old_allowed.accesses is None or seen.new_allowed.accesses is None:
        evidence += [f"Not known: {gap}" for gap in gaps]
        do = (note("Who may decrypt under both keys could not be compared. Let the policies be read."),)
        return Step(StepId.NEW_KEY, GuideStepState.UNKNOWN, tuple(evidence), do, (DARK, *warnings))
    do_: list[Instruction] = []
    if lost:
        evidence += [str(loss) for loss in lost]
        do_ += [
            note("Give them the same in the new key's policy, or say by --except who may lose it."),
            command(f"keydeck keys policy {new.key_arn} --explain"),
            command(f"keydeck keys put-policy {new.key_arn} FILE"),
        ]
        warnings.insert(0, DARK)
    elif not gaps:
        evidence.append(
            "Everybody who may Decrypt or GenerateDataKey under the old key may under the new one"
        )
    evidence += [f"Not known: {gap}" for gap in gaps]
    state = GuideStepState.NOW if lost else GuideStepState.UNKNOWN if gaps else GuideStepState.DONE
    if gaps and not lost:
        do_.append(note("Let the grants be listed: who works by a grant can't be compared without."))
    return Step(StepId.NEW_KEY, state, tuple(evidence), tuple(do_), tuple(warnings))


def preflight(seen: RotationState) -> Step:
    """Return whether KMS would let this identity work under the new key, by DryRun."""
    if seen.new is None or seen.same:
        return Step(StepId.PREFLIGHT, GuideStepState.NOW, blocks=False)
    evidence = []
    for permission in seen.permissions:
        word = {True: "permitted", False: "refused", None: "not known"}[permission.allowed]
        reason = f": {permission.reason}" if permission.reason else ""
        evidence.append(f"{permission.action} on {permission.key}: {word}{reason}")
    needed = [p for p in seen.permissions if p.key == seen.new.key_arn and "ReEncrypt" not in p.action]
    refused = [p for p in needed if p.allowed is False]
    if refused:
        remedies = dict.fromkeys(p.remedy for p in refused if p.remedy)
        do = (note("Let this identity use the new key, or run this as one that may."), *map(note, remedies))
        return Step(StepId.PREFLIGHT, GuideStepState.NOW, tuple(evidence), do, (OWN,))
    state = GuideStepState.DONE if all(p.allowed for p in needed) else GuideStepState.UNKNOWN
    return Step(StepId.PREFLIGHT, state, tuple(evidence), (), (OWN,), blocks=False)


def _missing(seen: RotationState) -> Step:
    made = making(seen.old, seen.old_allowed.accesses, seen.region)
    again = command(f"keydeck keys replace {seen.old.key_arn} --by NEW")
    if seen.new_name:
        evidence = (f"{seen.new_name}: {seen.new_trouble}",)
        if seen.new_trouble.startswith("not known"):
            return Step(StepId.NEW_KEY, GuideStepState.UNKNOWN, evidence)
        do = (note("Name an existing key with --by, or create one:"), command(made.command))
        return Step(StepId.NEW_KEY, GuideStepState.NOW, evidence, do, made.untold)
    found = (f"The old key is {seen.old.key_arn}", _rotation(seen.old))
    return Step(StepId.NEW_KEY, GuideStepState.NOW, found, (command(made.command), again), made.untold)


def _unfit(seen: RotationState, new: KeyState) -> str:
    if new.key_arn == seen.old.key_arn:
        named = f"{seen.new_name} is the key to replace: {new.key_arn}."
        return f"{named} An alias may have been moved already: name both keys by ARN."
    if seen.same:
        return f"{new.key_arn} is the old key in another Region: a replica has the same key material."
    if new.manager == "AWS":
        return f"{new.key_arn} is managed by AWS: its policy can't be set."
    if new.spec != "SYMMETRIC_DEFAULT" or new.usage not in ("ENCRYPT_DECRYPT", None):
        return f"{new.key_arn} is {new.spec}, for {new.usage}. {_ASYMMETRIC}"
    return ""


def _mend(new: KeyState) -> tuple[Instruction, ...]:
    if new.state in ("Disabled", *PENDING_DELETION):
        return enabling(new)
    return (note(f"Wait until the key is Enabled: keydeck keys show {new.key_arn}"),)


def _rotation(state: KeyState) -> str:
    if state.rotation_enabled is None:
        why = state.missing.get("rotation", "KMS does not rotate it by itself")
        return f"Automatic rotation: {why}"
    if not state.rotation_enabled:
        return "Automatic rotation: off"
    days = state.rotation_period_days
    return f"Automatic rotation: {'on, its period is not known' if days is None else every(days)}"


def _warnings(seen: RotationState, new: KeyState) -> Iterator[str]:
    old, days = seen.old, seen.configured.rotation_days
    slow = new.rotation_enabled and (new.rotation_period_days or 0) > days
    if new.rotatable and (slow or new.rotation_enabled is False):
        yield (
            f"It should rotate by itself every {days:,} days at least: "
            f"keydeck keys enable-rotation {new.key_arn} --period {days}"
        )
    if old.multi_region and not new.multi_region:
        yield "The old key is multi-Region, this one is not, and can't be made so later (--multi-region)."
    elif old.replica_arns:
        there = {region_of(arn) for arn in (new.key_arn, *new.replica_arns)}
        for region in (region_of(arn) for arn in (old.key_arn, *old.replica_arns)):
            if region and region not in there:
                yield (
                    f"The old key has a replica in {region}, this one has none: "
                    f"keydeck keys replicate {new.key_arn} {region}"
                )
        yield "Each replica has a policy of its own; compared are those of the two keys that were named."
    if old.region != new.region and not old.multi_region:
        yield (
            f"It is in {new.region}, the old key in {old.region}: every reader must ask both Regions "
            "(KEYDECK_REGIONS), and tokens can be re-encrypted, not rewrapped."
        )
    if account_of(old.key_arn) != account_of(new.key_arn):
        yield "It is in another account: IAM policies there and here must both let callers use it."
    for denial in new_denials(seen.old_allowed.statements, seen.new_allowed.statements):
        yield f"{denial}: the old key's policy does not. See whom that keeps out."

"""A key that can take the old one's place, and whether it lets this identity work.

AWS KMS Developer Guide, "Rotate keys manually" and "Testing your permissions".
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping

from crypto_core.incidents.keys.rotation.look import RotationLook
from crypto_core.incidents.keys.rotation.verdict import Instruction, RotationVerdict, command, enabling, note
from crypto_core.incidents.model import CheckState
from crypto_core.keys.changes.change import DEFAULT_PERIOD_DAYS
from crypto_core.keys.changes.key_reader import every
from crypto_core.keys.policy.access import Access
from crypto_core.keys.policy.least_privilege import NEEDS, Role, is_principal
from crypto_core.keys.replacement import USES
from crypto_core.keys.state import PENDING_DELETION, KeyState
from crypto_core.values.clean_text import clean
from crypto_core.values.key_names import account_of, region_of, same_key

OWN = "This is what KMS permits to this identity; it says nothing of the platform's."
_ASYMMETRIC = "Tokens need a symmetric key (SYMMETRIC_DEFAULT, ENCRYPT_DECRYPT)."


def new_key_ready(look: RotationLook) -> RotationVerdict:
    """Pass if the new key is enabled, and everybody who works with the old one may with it."""
    new = look.new
    if new is None:
        return _missing(look)
    if why := unfit(new, look.old):
        return RotationVerdict(CheckState.FAILED, (why,), (note("Take another key."),))
    evidence = [f"{new.key_arn} is {new.state}", _rotation(new)]
    if new.state != "Enabled":
        return RotationVerdict(CheckState.NOT_YET, tuple(evidence), _mend(new))
    compared = look.compared
    lost = [loss for loss in compared.losses if loss not in compared.unread]
    warnings = (*_warnings(look, new), *compared.notes)
    evidence += [*lost, *(f"Not known: {gap}" for gap in compared.unread)]
    evidence += [f"Left out on purpose: {who}" for who in look.accepted]
    do: tuple[Instruction, ...] = ()
    state = CheckState.PASSED
    if lost:
        state = CheckState.NOT_YET
        do = (
            note("Give them the same in the new key's policy, or decide that they lose it."),
            command(f"keydeck keys policy {new.key_arn} --explain"),
            command(f"keydeck keys put-policy {new.key_arn} FILE"),
        )
    elif not compared.unread:
        everybody = "Everybody else" if look.accepted else "Everybody"
        evidence.append(f"{everybody} who may {' or '.join(USES)} under the old key may under the new one")
    if compared.unread:
        state = CheckState.UNKNOWN
        do = (note("Let the policies and grants be read: who loses access is not known without."), *do)
    return RotationVerdict(state, tuple(evidence), do, warnings)


def key_permitted(look: RotationLook) -> RotationVerdict:
    """Pass if KMS would let this identity work under the new key, by DryRun."""
    if look.successor is None:
        return RotationVerdict(CheckState.NOT_YET)
    evidence = []
    for permission in look.permissions:
        word = {True: "permitted", False: "refused", None: "not known"}[permission.allowed]
        reason = f": {permission.reason}" if permission.reason else ""
        evidence.append(f"{permission.action} on {permission.key}: {word}{reason}")
    needed = [p for p in look.permissions if p.key == look.successor.key_arn and "ReEncrypt" not in p.action]
    refused = [p for p in needed if p.allowed is False]
    if refused:
        remedies = dict.fromkeys(p.remedy for p in refused if p.remedy)
        do = (note("Let this identity use the new key, or run this as one that may."), *map(note, remedies))
        return RotationVerdict(CheckState.NOT_YET, tuple(evidence), do, (OWN,))
    passed = all(p.allowed for p in needed)
    return RotationVerdict(CheckState.PASSED if passed else CheckState.UNKNOWN, tuple(evidence), (), (OWN,))


def _missing(look: RotationLook) -> RotationVerdict:
    if look.new_trouble.startswith("not known"):
        return RotationVerdict(CheckState.UNKNOWN, (f"{look.new_name}: {look.new_trouble}",))
    policy, _ = look.reader.access.read_policy(look.old.key_arn)
    make, untold = making(look.old, policy.accesses if policy else None, look.reader.regions()[0])
    again = command(f"keydeck keys replace {look.old.key_arn} --by NEW")
    if look.new_name:
        found: tuple[str, ...] = (f"{look.new_name}: {look.new_trouble}",)
        do = (note("Name an existing key with --by, or create one:"), command(make))
    else:
        found = (f"The old key is {look.old.key_arn}", _rotation(look.old))
        do = (command(make), again)
    return RotationVerdict(CheckState.NOT_YET, found, do, untold)


def unfit(new: KeyState, old: KeyState) -> str:
    """Return why a key can't take another's place, "" where it can."""
    if new.key_arn == old.key_arn:
        named = f"{new.key_arn} is the key to replace."
        return f"{named} An alias may have been moved already: name both keys by ARN."
    if same_key(new.key_arn, old.key_arn):
        return f"{new.key_arn} is the old key in another Region: a replica has the same key material."
    if new.manager == "AWS":
        return f"{new.key_arn} is managed by AWS: its policy can't be set."
    return f"{new.unfit} {_ASYMMETRIC}" if new.unfit else ""


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


def _warnings(look: RotationLook, new: KeyState) -> Iterator[str]:
    old, days = look.old, look.reader.rotation_days
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


_REWRAPS = NEEDS[Role.OPERATOR] - NEEDS[Role.PLATFORM] - NEEDS[Role.INSPECTOR]
_LOCKS_DOWN = NEEDS[Role.RESPONDER] - NEEDS[Role.OPERATOR]


def making(old: KeyState, accesses: Iterable[Access] | None, region: str) -> tuple[str, tuple[str, ...]]:
    """Return the command that makes the new key, and what of the old key's policy it does not say.

    `accesses` of the old key are None where they could not be read; `region` is where Keydeck makes keys.
    """
    actions, others = named_plainly(accesses or ())
    found, untold = by_role(actions), [_untold(access) for access in others]
    words = ["keydeck keys create"]
    words += [f"--{role} {shlex.quote(clean(who))}" for role in Role for who in found.get(role, ())]
    if not found.get(Role.PLATFORM):
        words.append("--platform ARN")
        untold.append("Which role the platform has can't be read from the policy: name it with --platform.")
    if old.multi_region:
        words.append("--multi-region")
    if old.rotation_enabled:
        words.append(f"--rotation-period {old.rotation_period_days or DEFAULT_PERIOD_DAYS}")
        if old.rotation_period_days is None:
            untold.append("How often the old key rotates is not known: check --rotation-period.")
    if accesses is None:
        untold.append("The old key's policy could not be read: name every role yourself.")
    if old.region != region:
        untold.append(f"The key would be made in {region}; put {old.region} first in KEYDECK_REGIONS.")
    return " ".join(words), tuple(dict.fromkeys(untold))


def named_plainly(accesses: Iterable[Access]) -> tuple[dict[str, frozenset[str]], list[Access]]:
    """Return what each principal may that is named without a condition, and every other use of the key."""
    actions: dict[str, frozenset[str]] = {}
    others = []
    for access in accesses:
        who = access.principal.value
        plain = is_principal(who) and not (access.principal.is_account or access.all_but)
        if plain and not access.conditions:
            actions[who] = actions.get(who, frozenset()) | access.actions
        elif not access.principal.is_gone and any(action in access.actions for action in USES):
            others.append(access)
    return actions, others


def by_role(actions: Mapping[str, frozenset[str]]) -> dict[Role, tuple[str, ...]]:
    """Return the principals that need each role, to do what they may do now."""
    given = {who: roles(may) for who, may in actions.items()}
    found = {role: tuple(who for who, held in given.items() if role in held) for role in Role}
    return {role: whos for role, whos in found.items() if whos}


def roles(actions: frozenset[str]) -> tuple[Role, ...]:
    """Return the roles that together give, as near as may be, what some actions on the old key gave."""
    found: list[Role] = []
    uses = any(action in actions for action in USES)
    if actions >= _LOCKS_DOWN and uses:
        found.append(Role.RESPONDER)
    elif actions & _REWRAPS and uses:
        found.append(Role.OPERATOR)
    elif uses:
        found.append(Role.PLATFORM)
    if "PutKeyPolicy" in actions and (Role.RESPONDER not in found or actions >= NEEDS[Role.ADMINISTRATOR]):
        found.append(Role.ADMINISTRATOR)
    if not found and actions & NEEDS[Role.INSPECTOR]:
        found.append(Role.INSPECTOR)
    return tuple(found)


def _untold(access: Access) -> str:
    who = access.seen_from(None)
    what = " and ".join(action for action in USES if action in access.actions)
    source = f"grant {access.grant.grant_id}" if access.grant else access.statement
    if access.principal.is_account and not access.all_but:
        return (
            f"{who} may {what} under the old key as far as its IAM policies let ({source}); a key made so "
            "lets nobody by IAM policies: name each role that works with tokens."
        )
    return f"{who} may {what} under the old key ({source}); the command does not say so."

"""The command that makes a key to take another one's place, with the roles that the old policy shows."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping

from crypto_core.keys.changes.change import DEFAULT_PERIOD_DAYS
from crypto_core.keys.policy.access import Access
from crypto_core.keys.policy.least_privilege import NEEDS, Role, is_principal
from crypto_core.keys.replacement.access import USES
from crypto_core.keys.state import KeyState
from crypto_core.text.cleaning import clean

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
    """Return principals by the roles that together give what they may."""
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

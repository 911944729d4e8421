"""The command that makes a key to take another one's place, with the roles that the old policy shows."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass

from crypto_core.keys.changes.change import DEFAULT_PERIOD_DAYS
from crypto_core.keys.policy.access import Access
from crypto_core.keys.policy.least_privilege import NEEDS, Role, is_principal
from crypto_core.keys.replacement.access import USES
from crypto_core.keys.state import KeyState
from crypto_core.text.cleaning import clean

_REWRAPS = NEEDS[Role.OPERATOR] - NEEDS[Role.PLATFORM] - NEEDS[Role.INSPECTOR]
_LOCKS_DOWN = NEEDS[Role.RESPONDER] - NEEDS[Role.OPERATOR]


@dataclass(frozen=True, slots=True)
class Making:
    """The command, and what of the old key's policy it does not say."""

    command: str
    untold: tuple[str, ...] = ()


def making(old: KeyState, accesses: Iterable[Access] | None, region: str) -> Making:
    """Return how to make the new key. `accesses` of the old key are None where they could not be read.

    `region` is where Keydeck makes keys.
    """
    found: dict[Role, dict[str, None]] = {}
    untold: list[str] = []
    actions: dict[str, frozenset[str]] = {}
    for access in accesses or ():
        who = access.principal.value
        plain = is_principal(who) and not (access.principal.is_account or access.all_but)
        if plain and not access.conditions:
            actions[who] = actions.get(who, frozenset()) | access.actions
        elif not access.principal.is_gone and any(action in access.actions for action in USES):
            untold.append(_untold(access))
    for who, may in actions.items():
        for role in roles(may):
            found.setdefault(role, {})[who] = None
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
    return Making(" ".join(words), tuple(dict.fromkeys(untold)))


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

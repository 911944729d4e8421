"""Who may do less under the new key than under the old one, by key policy and by grant.

Whoever reads tokens under the old key must be allowed Decrypt under the new one before the first token moves,
or the platform goes dark. Compared are Decrypt and GenerateDataKey, which the platform works with. IAM
policies are not seen: where a key policy names an account, they decide who of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from crypto_core.keys.policy.access import Access
from crypto_core.keys.policy.document import Statement
from crypto_core.keys.policy.patterns import like
from crypto_core.keys.principal import PolicyPrincipal
from crypto_core.text.cleaning import clean

USES = ("Decrypt", "GenerateDataKey")


@dataclass(frozen=True, slots=True)
class Loss:
    """What one principal may under the old key and not, or not surely, under the new one. Cleaned text."""

    who: str
    actions: tuple[str, ...]
    condition: str = ""
    """What it hangs on under the new key; "" where the action is not allowed at all."""

    def __str__(self) -> str:
        what = " and ".join(self.actions)
        if self.condition:
            return f"{self.who}: {what} under the new key only {self.condition}"
        return f"{self.who} loses {what}"


def losses(
    before: Iterable[Access],
    after: Sequence[Access],
    *,
    account: str | None,
    accepted: Sequence[str] = (),
) -> tuple[Loss, ...]:
    """Return who loses what, each principal and condition once.

    `account` is the keys' own. `accepted` are principals that may lose it: ARNs or accounts, `*` and `?` as
    in IAM. Principals that IAM has deleted are left out.
    """
    found: dict[tuple[str, str], dict[str, None]] = {}
    for access in before:
        principal = access.principal
        if principal.is_gone or _is_accepted(principal, accepted):
            continue
        who = access.seen_from(account)
        for action in USES:
            if action not in access.actions:
                continue
            condition = _hangs_on(access, action, after)
            if condition is not None:
                found.setdefault((who, condition), {})[action] = None
    return tuple(Loss(who, tuple(actions), condition) for (who, condition), actions in found.items())


def seen(arn: str, before: Iterable[Access]) -> Access | None:
    """Return what a principal that was seen to decrypt may do, where the old key's policy leaves that to IAM.

    None where the policy or a grant names it, or everyone: then `losses` tells. Its conditions are those
    under which its account may.
    """
    access = Access(PolicyPrincipal("AWS", arn), False, frozenset({"Decrypt"}))
    opening = [a for a in before if "Decrypt" in a.actions]
    if access.principal.account is None or any(_is_of(access, a) for a in opening):
        return None
    by_account = next((a for a in opening if _is_of_account(access, a)), None)
    return replace(access, conditions=by_account.conditions) if by_account else access


def new_denials(before: Iterable[Statement], after: Iterable[Statement]) -> tuple[str, ...]:
    """Return what the new policy denies under conditions that the old one does not, in words."""
    known = [s for s in before if not s.allows]
    told = []
    for statement in after:
        denied = [action for action in USES if action in statement.covers]
        if statement.allows or not statement.conditions or not denied:
            continue
        if not any(_same_denial(statement, other) for other in known):
            tests = " and ".join(clean(f"{c.operator} {c.key}", 120) for c in statement.conditions)
            told.append(f"{statement.sid or 'A statement'} denies {' and '.join(denied)} by {tests}")
    return tuple(told)


def _hangs_on(access: Access, action: str, after: Sequence[Access]) -> str | None:
    """What an action hangs on under the new key: None if on nothing more, "" if it is not allowed."""
    of_same = [a for a in after if action in a.actions and _is_of(access, a)]
    by_account = [a for a in after if action in a.actions and _is_of_account(access, a)]
    if any(_asks_no_more(a, access) for a in of_same):
        return None
    if any(_asks_no_more(a, access) for a in by_account):
        return f"if IAM policies of account {access.principal.account} allow it"
    for narrower in of_same:
        tests = " and ".join(
            clean(f"{c.operator} {c.key} {' or '.join(c.values)}", 200) for c in narrower.conditions
        )
        return f"if {tests}"
    return ""


def _is_of(access: Access, other: Access) -> bool:
    """True if the second access covers every principal of the first."""
    if access.all_but or other.all_but:
        return access.all_but is other.all_but and _same(access.principal, other.principal)
    return other.principal.is_everyone or _same(access.principal, other.principal)


def _is_of_account(access: Access, other: Access) -> bool:
    return (
        not access.all_but
        and not other.all_but
        and other.principal.is_account
        and access.principal.account == other.principal.account
    )


def _same(principal: PolicyPrincipal, other: PolicyPrincipal) -> bool:
    if principal.is_account and other.is_account:
        return principal.account == other.account
    return principal == other


def _asks_no_more(access: Access, than: Access) -> bool:
    return set(access.conditions) <= set(than.conditions)


def _same_denial(one: Statement, other: Statement) -> bool:
    return (
        set(one.conditions) == set(other.conditions)
        and set(one.principals) <= set(other.principals)
        and one.all_principals_but is other.all_principals_but
        and {a for a in USES if a in one.covers} <= {a for a in USES if a in other.covers}
    )


def _is_accepted(principal: PolicyPrincipal, accepted: Sequence[str]) -> bool:
    names = (principal.value, principal.account if principal.is_account else None)
    return any(like(pattern, name) for pattern in accepted for name in names if name)

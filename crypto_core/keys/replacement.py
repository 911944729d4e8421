"""Who may do less under the new key than under the old one: by key policy, by grant, and by use.

Whoever reads tokens under the old key must be allowed Decrypt under the new one before the first token moves,
or the platform goes dark. Compared are Decrypt and GenerateDataKey, which the platform works with, and
whoever was seen in CloudTrail's events. IAM policies are not read: who gets at the old key by them alone is
known only by having been seen, and may use the new one for sure only if it was seen there too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Protocol

from crypto_core.keys.inventory import KeyInventory
from crypto_core.keys.policy.access import Access
from crypto_core.keys.policy.document import Statement
from crypto_core.keys.policy.policy_reader import KeyPolicies, KeyPolicy
from crypto_core.keys.principals import PolicyPrincipal, is_of, like
from crypto_core.values import errors
from crypto_core.values.clean_text import clean
from crypto_core.values.counts import counted, listed
from crypto_core.values.key_names import account_of
from crypto_core.values.moments import in_utc


@dataclass(frozen=True, slots=True)
class UseSeen:
    """The uses of a key from `since` on, that succeeded. `seals` of them brought something new under it.

    `by` are the principals, the busiest first. There was no other use up to `covered_until`, but for what
    `gaps` name; None where nothing is covered.
    """

    since: datetime
    uses: int = 0
    seals: int = 0
    last_at: datetime | None = None
    last_seal_at: datetime | None = None
    by: tuple[str, ...] = ()
    covered_until: datetime | None = None
    gaps: tuple[str, ...] = ()

    @property
    def proves_no_use(self) -> bool:
        """True if the key was not used in the time that is covered."""
        return not self.uses and self.covered_until is not None and not self.gaps

    def __str__(self) -> str:
        if self.uses:
            who = listed([clean(name, 200) for name in self.by], 5)
            return (
                f"CloudTrail: {counted(self.uses, 'use')} since {in_utc(self.since)}, the last at "
                f"{in_utc(self.last_at)}, by {who}"
            )
        if self.proves_no_use:
            return f"CloudTrail: not used from {in_utc(self.since)} to {in_utc(self.covered_until)}"
        why = clean("; ".join(self.gaps), 500)
        return f"CloudTrail: no use is known since {in_utc(self.since)}, which proves nothing: {why}"


class UseWitness(Protocol):
    """Who keeps CloudTrail's events."""

    def uses(self, key_arns: Sequence[str], since: datetime, *, cancelled: Event | None = None) -> UseSeen:
        """Return the uses of a key's replicas, by their ARNs. Raises TrailError, InterruptedRunError."""


USES = ("Decrypt", "GenerateDataKey")
SEEN_FOR = timedelta(days=90)
"""How far back events are looked at: as far as LookupEvents reaches."""
UNREAD = "whoever decrypts today:"
"""How an unknown loss begins."""
_DENIED = ", which the old key's policy does not"


@dataclass(frozen=True, slots=True)
class Compared:
    """Who loses access, or may lose it, each with why; and what is not known of it. Cleaned text."""

    losses: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def unread(self) -> tuple[str, ...]:
        """The losses of which it is not known whose they are: what would tell can't be read."""
        return tuple(loss for loss in self.losses if loss.startswith(UNREAD))

    @property
    def denied(self) -> tuple[str, ...]:
        """The losses by what the new policy denies and the old one doesn't."""
        return tuple(loss for loss in self.losses if loss.endswith(_DENIED))


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class AccessComparison:
    keys: KeyInventory
    policies: KeyPolicies
    witness: UseWitness | None = None
    _: KW_ONLY
    identity: Callable[[], str] = lambda: ""
    """Gives the ARN that Keydeck itself works as: its own permissions are the preflight's."""
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    def compare_access(self, source_arn: str, target_arn: str, accepted: Sequence[str] = ()) -> Compared:
        """Return who loses access by a move from one key to another.

        `accepted` are principals that may lose it; `*` also accepts that it is not known who does. A policy
        that can't be read is a loss: nobody can tell whose. Raises CredentialsError, KmsUnreachableError.
        """
        lost: dict[str, None] = {}
        notes: list[str] = []
        unknown = [] if "*" in accepted else lost
        source, why_source = self.read_policy(source_arn)
        target, why_target = self.read_policy(target_arn)
        for why in (*why_source, *why_target):
            words = f"{UNREAD} {why}"
            if unknown is lost:
                lost[words] = None
            else:
                notes.append(words)
        if source is None or target is None:
            return Compared(tuple(lost), tuple(notes))
        account = account_of(source_arn)
        lost |= {
            clean(loss, 600): None
            for loss in losses(source.accesses, target.accesses, account=account, accepted=accepted)
        }
        used, used_target = self._uses(source_arn, notes), self._uses(target_arn, [])
        own = self.identity() if used and used.by else ""
        for arn in used.by if used else ():
            access = seen(arn, source.accesses)
            if access is None or is_of(own, arn) or (used_target and arn in used_target.by):
                continue
            for loss in losses([access], target.accesses, account=account, accepted=accepted):
                lost[clean(f"{loss}; it used the old key in the last {SEEN_FOR.days} days", 600)] = None
        if "*" not in accepted:
            denied = new_denials(source.document.statements, target.document.statements)
            lost |= {clean(f"{denial}{_DENIED}", 600): None for denial in denied}
        return Compared(tuple(lost), tuple(notes))

    def read_policy(self, arn: str) -> tuple[KeyPolicy | None, tuple[str, ...]]:
        """Return a key's policy, and what can't be read of it. Raises as `compare_access`."""
        try:
            policy = self.policies.read(arn)
        except (errors.CredentialsError, errors.KmsUnreachableError):
            raise
        except errors.KmsAccessDeniedError as error:
            return None, (f"the policy of {arn} can't be read, {error.action} is not allowed",)
        except errors.KmsError as error:
            return None, (clean(f"the policy of {arn} can't be read, {error.message}", 600),)
        gaps = [f"{part} of {arn} can't be read, {why}" for part, why in policy.missing.items()]
        return policy, tuple(clean(gap, 600) for gap in gaps)

    def _uses(self, arn: str, notes: list[str]) -> UseSeen | None:
        if self.witness is None:
            return None
        try:
            arns = [arn, *self.keys.replicas(arn)]
            used = self.witness.uses(list(dict.fromkeys(arns)), self.clock() - SEEN_FOR)
        except (errors.TrailError, errors.KmsError) as error:
            notes.append(clean(f"Who recently used {arn} is not known: {error}", 600))
            return None
        if used.gaps or used.covered_until is None:
            why = "; ".join(used.gaps) or "no events from that time are stored"
            notes.append(clean(f"Who used {arn} in the last 90 days is not fully known: {why}", 600))
        return used


def losses(
    before: Iterable[Access], after: Sequence[Access], *, account: str | None, accepted: Sequence[str] = ()
) -> tuple[str, ...]:
    """Return in words who loses what, each principal and condition once.

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
    return tuple(
        f"{who}: {' and '.join(actions)} under the new key only {condition}"
        if condition
        else f"{who} loses {' and '.join(actions)}"
        for (who, condition), actions in found.items()
    )


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

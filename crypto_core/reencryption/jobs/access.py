"""Principals that decrypt under a job's source key and may not under its target.

Compared are key policies, grants, and whoever was seen in CloudTrail's events. IAM policies are not read: who
gets at the source by them alone is known only by having been seen, and may use the target for sure only if it
was seen there too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from datetime import UTC, datetime, timedelta

from crypto_core.errors import (
    CredentialsError,
    KmsAccessDeniedError,
    KmsError,
    KmsUnreachableError,
    TrailError,
)
from crypto_core.key_names import account_of
from crypto_core.keys.inventory import KeyInventory
from crypto_core.keys.policy.access import Access
from crypto_core.keys.policy.reading import KeyPolicies, KeyPolicy
from crypto_core.keys.replacement.access import Loss, losses, new_denials, seen
from crypto_core.keys.replacement.witness import UseSeen, UseWitness
from crypto_core.reencryption.jobs.model import Compared
from crypto_core.text.cleaning import clean

SEEN_FOR = timedelta(days=90)
"""How far back events are looked at: as far as LookupEvents reaches."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class AccessComparison:
    """Looks at both keys. Blocks on KMS and the event store; changes nothing."""

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
        source, why_source = self._policy(source_arn)
        target, why_target = self._policy(target_arn)
        for why in (*why_source, *why_target):
            words = f"whoever decrypts today: {why}"
            if unknown is lost:
                lost[words] = None
            else:
                notes.append(words)
        if source is None or target is None:
            return Compared(tuple(lost), tuple(notes))
        account = account_of(source_arn)
        lost |= {clean(loss, 600): None for loss in _lost(source.accesses, target, account, accepted)}
        used, used_target = self._uses(source_arn, notes), self._uses(target_arn, [])
        own = self.identity() if used and used.by else ""
        for arn in used.by if used else ():
            access = seen(arn, source.accesses)
            if access is None or _is_same(arn, own) or (used_target and arn in used_target.by):
                continue
            for loss in _lost([access], target, account, accepted):
                lost[clean(f"{loss}; it used the old key in the last {SEEN_FOR.days} days", 600)] = None
        if "*" not in accepted:
            denied = new_denials(source.document.statements, target.document.statements)
            lost |= {clean(f"{denial}, which the old key's policy does not", 600): None for denial in denied}
        return Compared(tuple(lost), tuple(notes))

    def _policy(self, arn: str) -> tuple[KeyPolicy | None, tuple[str, ...]]:
        try:
            policy = self.policies.read(arn)
        except (CredentialsError, KmsUnreachableError):
            raise
        except KmsAccessDeniedError as error:
            return None, (f"the policy of {arn} can't be read, {error.action} is not allowed",)
        except KmsError as error:
            return None, (clean(f"the policy of {arn} can't be read, {error.message}", 600),)
        gaps = [f"{part} of {arn} can't be read, {why}" for part, why in policy.missing.items()]
        return policy, tuple(clean(gap, 600) for gap in gaps)

    def _uses(self, arn: str, notes: list[str]) -> UseSeen | None:
        """The recorded users of a key and all its replicas."""
        if self.witness is None:
            return None
        try:
            arns = [arn, *self.keys.replicas(arn)]
            used = self.witness.uses(list(dict.fromkeys(arns)), self.clock() - SEEN_FOR)
        except (TrailError, KmsError) as error:
            notes.append(clean(f"Who recently used {arn} is not known: {error}", 600))
            return None
        if used.gaps or used.covered_until is None:
            why = "; ".join(used.gaps) or "no events from that time are stored"
            notes.append(clean(f"Who used {arn} in the last 90 days is not fully known: {why}", 600))
        return used


def _lost(
    before: Sequence[Access], after: KeyPolicy, account: str | None, accepted: Sequence[str]
) -> tuple[Loss, ...]:
    return losses(before, after.accesses, account=account, accepted=accepted)


def _is_same(principal: str, identity: str) -> bool:
    """True for a role, as events name it, and its session, as STS does, which tells no path of the role."""
    mine, yours = identity.split(":"), principal.split(":")
    if len(mine) < 6 or len(yours) < 6 or mine[4] != yours[4]:
        return False
    kind, _, rest = mine[5].partition("/")
    if kind != "assumed-role":
        return mine == yours
    return yours[5].startswith("role/") and yours[5].rsplit("/", 1)[-1] == rest.split("/")[0]

"""Permissions boundaries: what they take away from users and roles, whatever their policies allow.

IAM User Guide, "Permissions boundaries for IAM entities": an identity may do what its policies and its
boundary both allow. A key's own policy that names a session or a user is not bound by it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from crypto_core.text.cleaning import clean
from crypto_core.text.counting import counted, listed


@dataclass(frozen=True, slots=True)
class PolicyHolder:
    """A user or role: its boundary's ARN, "" for none, the policies attached to it, and its groups' names."""

    arn: str
    boundary: str
    attached: frozenset[str]
    groups: frozenset[str] = frozenset()


@dataclass(slots=True)
class PolicyHolders:
    """Who has which policies, and what boundaries allow.

    `groups` are the policies attached to groups, by the group's name. `allowed` is what each boundary lets
    decrypt under every key; one that is not there could not be read.
    """

    holders: list[PolicyHolder] = field(default_factory=list)
    groups: dict[str, frozenset[str]] = field(default_factory=dict)
    allowed: dict[str, frozenset[str]] = field(default_factory=dict)

    def bounds(self, policy: str, actions: Iterable[str], *, group: str = "") -> Bounds:
        """Return what boundaries leave of some actions to those who have a policy.

        `policy` is its ARN, or for an inline one that of its user or role; `group` the name of an inline
        one's group.
        """
        wanted = frozenset(actions)
        having = [one for one in self.holders if self._has(one, policy, group)]
        unread = {one.boundary for one in having if one.boundary and one.boundary not in self.allowed}
        bound = [
            one.boundary
            for one in having
            if one.boundary in self.allowed and not self.allowed[one.boundary] & wanted
        ]
        return Bounds(len(having), tuple(bound), tuple(sorted(unread)))

    def _has(self, holder: PolicyHolder, policy: str, group: str) -> bool:
        if group:
            return group in holder.groups
        of_groups = (self.groups.get(name, frozenset()) for name in holder.groups)
        return holder.arn == policy or policy in holder.attached.union(*of_groups)


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many users and roles have a policy, and the boundaries of those to whom theirs leave nothing of it.

    `unread` are boundaries whose policy is not known.
    """

    holders: int = 0
    boundaries: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        """True if nobody who has the policy may do what it allows under every key."""
        return 0 < self.holders == len(self.boundaries)

    def __str__(self) -> str:
        """In words, "" where no boundary matters."""
        parts = []
        if self.boundaries:
            some = f"{len(self.boundaries):,} of {counted(self.holders, 'holder')}"
            of = "every holder" if self.whole else some
            parts.append(
                f"the permissions boundary of {of} allows it for no other key than it names: "
                f"{_names(self.boundaries)}"
            )
        if self.unread:
            parts.append(f"what these boundaries allow was not read: {_names(self.unread)}")
        return "; ".join(parts)


def _names(arns: Iterable[str]) -> str:
    return listed([clean(arn.rsplit("/", 1)[-1], 80) for arn in dict.fromkeys(arns)], 3)


def boundary_of(member: Mapping[str, object]) -> str:
    """Return the ARN of a user's or role's boundary as GetAccountAuthorizationDetails has it, "" for none."""
    given = member.get("PermissionsBoundary")
    return str(given.get("PermissionsBoundaryArn") or "") if isinstance(given, Mapping) else ""

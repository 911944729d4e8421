"""A bucket that a trail delivers to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from crypto_core.text.cleaning import CleanText

POLICY, BLOCK, ACL, LOGGING = "policy status", "public access block", "access list", "access logging"
ACCOUNT_BLOCK = "public access block of the account"


@dataclass(frozen=True, slots=True)
class TrailBucket:
    """A bucket as S3 describes it. What is None is not known; `missing` maps each part to the reason."""

    name: CleanText
    policy_public: bool | None = None
    policy_restricted: bool | None = None
    """True if the bucket's block, or its account's, restricts a public policy to the account."""
    acl_public: bool | None = None
    """True if its access list has everybody; False too where a block ignores it."""
    logged_to: CleanText | None = None
    """The bucket that its accesses are logged in; "" for none."""
    missing: Mapping[str, str] = field(default_factory=dict)

    @property
    def public_by(self) -> tuple[str, ...]:
        """By what it is public, as far as that is known."""
        by_policy = self.policy_public and not self.policy_restricted
        return (
            *(("GetBucketPolicyStatus: IsPublic true",) if by_policy else ()),
            *(("GetBucketAcl: a grant to everybody",) if self.acl_public else ()),
        )

"""Reads the account's own IAM policies. API reference: GetAccountAuthorizationDetails."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from threading import Event
from typing import Any

from crypto_core.aws.kms import KmsApi
from crypto_core.cancelling import stop_if
from crypto_core.errors import KmsError, PolicyError
from crypto_core.findings.finding import Gap
from crypto_core.findings.severity import Severity
from crypto_core.keys.policy.identity import wide_statements
from crypto_core.keys.posture.identities import IdentityPolicy
from crypto_core.text.cleaning import clean

_FILTER = ["User", "Role", "Group", "LocalManagedPolicy"]
_PAGE = 500
_INLINE = (
    ("UserDetailList", "UserPolicyList"),
    ("GroupDetailList", "GroupPolicyList"),
    ("RoleDetailList", "RolePolicyList"),
)


def read_identities(
    kms: KmsApi, *, cancelled: Event | None = None
) -> tuple[tuple[IdentityPolicy, ...], tuple[Gap, ...]]:
    """Return the policies that allow decryption under every key, and gaps for what could not be read.

    IAM is one for all Regions. Raises InterruptedRunError.
    """
    found: list[IdentityPolicy] = []
    gaps: list[Gap] = []
    try:
        for page in _pages(kms, cancelled):
            for read in (*_managed(page), *_inline(page)):
                (gaps if isinstance(read, Gap) else found).append(read)  # type: ignore[arg-type]
    except KmsError as error:
        gaps.append(Gap(f"IAM policies: {error.why}", Severity.MEDIUM))
    return tuple(found), tuple(gaps)


def _account_of(arn: str) -> tuple[str, str]:
    _, partition, _, _, account, *_ = [*arn.split(":"), *[""] * 5]
    return account, partition


def _pages(kms: KmsApi, cancelled: Event | None) -> Iterator[Mapping[str, Any]]:
    marker: dict[str, str] = {}
    while True:
        stop_if(cancelled)
        page = kms.read(
            "iam",
            "GetAccountAuthorizationDetails",
            region=kms.regions[0],
            Filter=_FILTER,
            MaxItems=_PAGE,
            **marker,
        )
        yield page
        following = {"Marker": str(page.get("Marker") or "")}
        if not page.get("IsTruncated") or not following["Marker"] or following == marker:
            return
        marker = following


def _managed(page: Mapping[str, Any]) -> Iterator[IdentityPolicy | Gap]:
    for policy in page.get("Policies") or ():
        attached = int(policy.get("AttachmentCount") or 0)
        if not attached and policy.get("PermissionsBoundaryUsageCount"):
            # A boundary only takes away.
            continue
        for version in policy.get("PolicyVersionList") or ():
            if version.get("IsDefaultVersion"):
                arn, name = str(policy.get("Arn")), policy.get("PolicyName")
                yield from _policy(arn, name, version.get("Document"), attached)


def _inline(page: Mapping[str, Any]) -> Iterator[IdentityPolicy | Gap]:
    for members, policies in _INLINE:
        for member in page.get(members) or ():
            for policy in member.get(policies) or ():
                name = policy.get("PolicyName")
                yield from _policy(str(member.get("Arn")), name, policy.get("PolicyDocument"), None)


def _policy(arn: str, name: object, document: object, attached: int | None) -> Iterator[IdentityPolicy | Gap]:
    shown, called = clean(arn, 300), clean(name, 128)
    try:
        wide = wide_statements(document, *_account_of(arn))
    except PolicyError as error:
        yield Gap(f"{shown}: policy {called}: {error.message}", Severity.MEDIUM)
        return
    if wide:
        yield IdentityPolicy(shown, called, attached is None, wide, attached or 0)

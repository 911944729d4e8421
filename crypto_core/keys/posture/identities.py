"""Who may decrypt under every key by IAM: what AWS Security Hub calls KMS.1 and KMS.2.

Where a key's policy leaves it to its account, as the default one does, these policies open what is under it.
A policy of an identity has no Principal, and unlike a key policy it may name any resource (IAM User Guide,
"IAM JSON policy elements reference"; API reference, GetAccountAuthorizationDetails). Not looked at are
policies that AWS manages, permissions boundaries, and an organisation's service control policies.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from threading import Event
from typing import Any
from urllib.parse import unquote

from crypto_core.aws.kms import KmsApi
from crypto_core.findings.finding import Finding, Gap, Severity
from crypto_core.findings.registry import Facts, Said, rule
from crypto_core.findings.standards import (
    CIS_ADMINISTRATION,
    HUB_INLINE_DECRYPT,
    HUB_MANAGED_DECRYPT,
    LEAST_PRIVILEGE,
    PCI_LEAST_PRIVILEGE,
)
from crypto_core.keys.policy.actions import POWERS, named_by
from crypto_core.keys.principals import like
from crypto_core.values.cancellation import stop_if
from crypto_core.values.clean_text import CleanText, clean
from crypto_core.values.counts import counted
from crypto_core.values.errors import KmsError, PolicyError

DECRYPTING = frozenset({"Decrypt", "ReEncryptFrom"})
"""What opens data keys, or hands them on."""
_ANY_KEY = "arn:{partition}:kms:xx-any-0:{account}:key/0c0ffee0-0000-4000-8000-00000000a11a"
"""A key that no policy means by name: a pattern that it matches is about all keys, in all Regions."""


@dataclass(frozen=True, slots=True)
class WideStatement:
    name: CleanText
    """Its Sid, or "statement 2" where it has none."""
    actions: tuple[str, ...]
    resource: CleanText
    conditions: tuple[CleanText, ...] = ()
    """The keys that it asks for: under these it may be about less."""


def wide_statements(document: object, account: str, partition: str = "aws") -> tuple[WideStatement, ...]:
    """Return the statements of an identity's policy that allow decryption under all keys of an account.

    What it denies for all keys without a condition is taken off. `document` is parsed or, as IAM's API has
    it, JSON in URL encoding. Raises PolicyError for what can't be read.
    """
    statements = list(_statements(document))
    any_key = _ANY_KEY.format(partition=partition, account=account)
    wide = [(n, s) for n, s in enumerate(statements, start=1) if _covers(s, any_key)]
    denied: frozenset[str] = frozenset().union(
        *(_actions(s) for _, s in wide if s.get("Effect") == "Deny" and not s.get("Condition"))
    )
    return tuple(
        WideStatement(
            clean(s.get("Sid") or f"statement {n}", 120),
            tuple(sorted(allowed)),
            clean(" or ".join(_texts(s, "Resource")) or "all but some", 300),
            tuple(clean(key, 120) for key in _condition_keys(s)),
        )
        for n, s in wide
        if s.get("Effect") == "Allow" and (allowed := (_actions(s) & DECRYPTING) - denied)
    )


def _statements(document: object) -> Iterator[Mapping[str, Any]]:
    if isinstance(document, str):
        try:
            document = json.loads(unquote(document))
        except (ValueError, RecursionError) as error:
            raise PolicyError("The policy is not readable JSON.") from error
    given = document.get("Statement") if isinstance(document, Mapping) else None
    found = given if isinstance(given, list) else [given]
    for one in found:
        if not isinstance(one, Mapping):
            raise PolicyError("The policy has no Statement, or one that is not an object.")
        yield one


def _texts(statement: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = statement.get(name, ())
    values = value if isinstance(value, list | tuple) else [value]
    if not all(isinstance(one, str) for one in values):
        raise PolicyError(f"{name} is neither a text nor a list of texts.")
    return tuple(values)


def _covers(statement: Mapping[str, Any], key_arn: str) -> bool:
    if "NotResource" in statement:
        return not any(like(pattern, key_arn) for pattern in _texts(statement, "NotResource"))
    return any(like(pattern, key_arn) for pattern in _texts(statement, "Resource"))


def _actions(statement: Mapping[str, Any]) -> frozenset[str]:
    negated = "NotAction" in statement
    patterns = _texts(statement, "NotAction" if negated else "Action")
    # *:* is every action of every service.
    named: frozenset[str] = frozenset().union(*map(named_by, patterns))
    return frozenset(POWERS) - named if negated else named


def _condition_keys(statement: Mapping[str, Any]) -> Iterator[str]:
    given = statement.get("Condition")
    for tests in given.values() if isinstance(given, Mapping) else ():
        yield from map(str, tests if isinstance(tests, Mapping) else (tests,))


_REMEDY = (
    "Name the keys that are needed as the statement's Resource. Who may use a key that guards tokens is "
    "better said in its own policy: keydeck keys policy KEY --generate."
)


@dataclass(frozen=True, slots=True)
class IdentityPolicy:
    """A policy of IAM that lets whoever has it decrypt under all keys.

    `arn` is the policy's own; of an inline one, that of the user, group or role that it is embedded in.
    `attached` is to how many a managed one is attached.
    """

    arn: CleanText
    name: CleanText
    inline: bool
    statements: tuple[WideStatement, ...]
    attached: int = 0

    @property
    def severity(self) -> Severity:
        """Low where nobody has it, or each statement has a condition."""
        idle = not self.inline and not self.attached
        narrow = all(s.conditions for s in self.statements)
        return Severity.LOW if idle or narrow else Severity.MEDIUM

    @property
    def evidence(self) -> str:
        return "; ".join(
            f"{s.name} allows {', '.join(f'kms:{action}' for action in s.actions)} on {s.resource}"
            + (f", with a condition on {', '.join(s.conditions)}" if s.conditions else "")
            for s in self.statements
        )


@rule(
    "kms-decrypt-all-managed",
    "IAM policy that allows decryption under every KMS key",
    Severity.MEDIUM,
    Facts.IDENTITIES,
    about="customer managed; low where it is attached to nobody or a condition narrows it",
    controls=(HUB_MANAGED_DECRYPT, CIS_ADMINISTRATION, LEAST_PRIVILEGE, PCI_LEAST_PRIVILEGE),
)
def managed(policies: Sequence[IdentityPolicy]) -> Said:
    for policy in policies:
        if not policy.inline:
            yield Finding(
                "",
                policy.severity,
                policy.arn,
                f"IAM policy {policy.name} allows decryption under every key",
                f"GetAccountAuthorizationDetails: {policy.evidence}; attached to "
                f"{counted(policy.attached, 'principal')}",
                _REMEDY,
            )


@rule(
    "kms-decrypt-all-inline",
    "Inline policy that allows decryption under every KMS key",
    Severity.MEDIUM,
    Facts.IDENTITIES,
    about="embedded in a user, group or role; low where a condition narrows it",
    controls=(HUB_INLINE_DECRYPT, LEAST_PRIVILEGE, PCI_LEAST_PRIVILEGE),
)
def inline(policies: Sequence[IdentityPolicy]) -> Said:
    for policy in policies:
        if policy.inline:
            yield Finding(
                "",
                policy.severity,
                policy.arn,
                f"{policy.arn.rsplit(':', 1)[-1]} may decrypt under every key by its inline policy "
                f"{policy.name}",
                f"GetAccountAuthorizationDetails: {policy.evidence}",
                _REMEDY,
            )


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

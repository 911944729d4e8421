"""Who may decrypt under every key by IAM: what AWS Security Hub calls KMS.1 and KMS.2.

Where a key's policy leaves it to its account, as the default one does, these policies open what is under it.
Policies that AWS manages are not looked at, nor permissions boundaries and an organisation's service control
policies, which only take away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from crypto_core.findings.controls import (
    CIS_ADMINISTRATION,
    HUB_INLINE_DECRYPT,
    HUB_MANAGED_DECRYPT,
    LEAST_PRIVILEGE,
    PCI_LEAST_PRIVILEGE,
)
from crypto_core.findings.finding import Finding
from crypto_core.findings.registry import Facts, Said, rule
from crypto_core.findings.severity import Severity
from crypto_core.keys.policy.identity import WideStatement
from crypto_core.text.cleaning import CleanText
from crypto_core.text.counting import counted

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
        """What each of the statements says."""
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
    """Yield the customer managed policies, by their default versions."""
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
    """Yield the inline policies of users, groups and roles."""
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

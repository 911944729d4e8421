"""Keys that tokens may lose: pending deletion, disabled, unusable, or in one Region alone.

AWS KMS Developer Guide, "Key states of AWS KMS keys", "Delete AWS KMS keys" and "Multi-Region keys in AWS
KMS".
"""

from __future__ import annotations

from collections.abc import Iterator

from crypto_core.findings.finding import Gap, Severity
from crypto_core.findings.registry import Facts, Said, rule
from crypto_core.findings.standards import HUB_DELETION, KEY_AVAILABILITY
from crypto_core.keys.posture.facts import Estate, KeyFacts
from crypto_core.keys.state import NOT_FOUND, PENDING_DELETION

_AVAILABLE = (KEY_AVAILABILITY,)


def state_unknown(facts: KeyFacts) -> Iterator[Gap]:
    """Yield the gap of a key that KMS won't describe: no rule can be asked about it."""
    if facts.key.state is None:
        yield facts.gap("state", facts.key.missing.get("state", "KMS does not tell"), Severity.CRITICAL)


@rule(
    "kms-key-pending-deletion",
    "KMS key pending deletion",
    Severity.CRITICAL,
    Facts.KEY,
    about="critical with tokens under it, low without",
    controls=(HUB_DELETION, *_AVAILABLE),
)
def pending_deletion(facts: KeyFacts, estate: Estate) -> Said:
    """Yield a key that waits for its deletion. Without tokens it is low: that deletion does no harm.

    Where a replica alone goes, its tokens open in the other Regions.
    """
    key = facts.key
    if not facts.customer or key.state not in PENDING_DELETION or key.harm is None:
        return
    severity, cancel = key.harm
    left = (key.deletion_at - estate.now).days if key.deletion_at else None
    when = f"; deleted on {key.deletion_at:%Y-%m-%d}, in {left} days" if key.deletion_at else ""
    severity = severity.at_most(Severity.HIGH) if facts.tokens is None else severity
    yield facts.finding(
        severity if facts.guards else Severity.LOW,
        f"{key.name} is pending deletion" + (" while it guards tokens" if facts.guards else ""),
        f"DescribeKey: {key.state}{when}; {facts.tokens_in_words()}",
        cancel
        if facts.guards
        else "If the deletion is intended, do nothing; otherwise cancel it before the date.",
    )


@rule(
    "kms-key-disabled",
    "KMS key disabled",
    Severity.HIGH,
    Facts.KEY,
    about="tokens under it don't open; low without tokens",
    controls=_AVAILABLE,
)
def disabled(facts: KeyFacts, _: Estate) -> Said:
    """Yield a disabled key. Without tokens it is low: it is either forgotten or kept for nothing."""
    if facts.key.state != "Disabled" or not (facts.customer or facts.guards) or facts.key.harm is None:
        return
    severity, enable = facts.key.harm
    yield facts.finding(
        severity if facts.guards else Severity.LOW,
        f"{facts.key.name} is disabled" + (" while it guards tokens" if facts.guards else " and not used"),
        f"DescribeKey: Disabled; {facts.tokens_in_words()}",
        enable
        if facts.guards
        else "Schedule its deletion once nothing else was sealed under it, or enable it.",
    )


@rule(
    "kms-key-unusable",
    "KMS key that can't be used",
    Severity.CRITICAL,
    Facts.KEY,
    about="tokens under it don't open: critical for a key that is gone, high in other states",
    controls=_AVAILABLE,
)
def unusable(facts: KeyFacts, _: Estate) -> Said:
    key = facts.key
    if not facts.guards or key.state in ("Disabled", *PENDING_DELETION) or key.harm is None:
        return
    severity, remedy = key.harm
    yield facts.finding(
        severity if facts.tokens else severity.at_most(Severity.HIGH),
        f"{key.name} does not exist" if key.state == NOT_FOUND else f"{key.name} can't be used: {key.state}",
        f"DescribeKey: {key.state}; {facts.tokens_in_words()}",
        remedy,
    )


@rule(
    "kms-single-region",
    "KMS key in one Region alone",
    Severity.LOW,
    Facts.KEY,
    about="tokens under a key without a replica",
    controls=_AVAILABLE,
)
def single_region(facts: KeyFacts, _: Estate) -> Said:
    """Yield a key with tokens that no other Region could open.

    Low: a replica also widens what must be guarded. Which of the two weighs more is for the operator to say.
    """
    key = facts.key
    if not facts.customer or not facts.guards or not key.usable:
        return
    if key.multi_region and key.primary_arn is None:
        yield facts.gap("replicas", "KMS does not say in which Regions the key is", Severity.LOW)
        return
    if key.is_replica or key.replica_arns:
        return
    alone = "a multi-Region primary without a replica" if key.multi_region else "a single-Region key"
    yield facts.finding(
        Severity.LOW,
        f"{key.name} is in one Region alone",
        f"DescribeKey: {alone} in {key.region}; {facts.tokens_in_words()}",
        f"Replicate it into another Region: keydeck keys replicate {facts.arn} REGION."
        if key.multi_region
        else "If tokens must open while this Region is down, re-encrypt them under a multi-Region key "
        "with a replica. A single-Region key can't become one.",
    )

"""Rotation: is it on, and often enough? Only keys that KMS can rotate by itself are asked.

AWS KMS Developer Guide, "Rotate AWS KMS keys" and "Rotate keys manually". Keys that AWS manages, asymmetric
and HMAC keys, imported material and custom key stores rotate otherwise or not at all, and a multi-Region
replica rotates with its primary: none of them is a finding. Neither is a key that isn't enabled: KMS rotates
it once it is.

Manual rotation, another key behind the same alias, is told by two signs. Key B came after key A if B was
created later and
- an alias of A is one of B's with a mark of an earlier generation: alias/tokens-old, -previous, -retired,
  -v2, -2024, -2024-06; or
- B is the key that is written under, and tokens are under A.
Then A needs no rotation, for nothing new is sealed under it. Nor does B while it has an alias and is younger
than the limit: whoever rotated by hand so far still has time. From then on its rotation is off.
"""

from __future__ import annotations

import re

from crypto_core.findings.finding import Severity
from crypto_core.findings.registry import Facts, Said, rule
from crypto_core.findings.standards import CIS_ROTATION, CRYPTOPERIOD, HUB_ROTATION, PCI_KEY_CHANGES
from crypto_core.keys.posture.facts import Estate, KeyFacts
from crypto_core.values.key_names import account_of, region_of, same_key

CONTROLS = (CIS_ROTATION, HUB_ROTATION, PCI_KEY_CHANGES, CRYPTOPERIOD)
_EARLIER = re.compile(
    r"[-_/](?:old|previous|prev|retired|legacy|v?[0-9]{1,4}|[0-9]{4}-[0-9]{2}(?:-[0-9]{2})?)"
)
"""What is behind an alias's name when its key is an earlier generation."""


@rule(
    "kms-rotation-off",
    "KMS key without rotation",
    Severity.MEDIUM,
    Facts.KEY,
    about="only keys that KMS can rotate; rotation by hand counts while it is younger than the limit",
    controls=CONTROLS,
)
def rotation_off(facts: KeyFacts, estate: Estate) -> Said:
    key = facts.key
    if not _rotates(facts):
        return
    if key.multi_region and key.primary_arn is None:
        yield facts.gap("rotation", "KMS does not say whether it is a primary or a replica", Severity.MEDIUM)
        return
    if key.rotation_enabled is None:
        yield facts.gap("rotation", key.missing.get("rotation", "KMS does not tell"), Severity.MEDIUM)
        return
    if key.rotation_enabled:
        return
    if "aliases" in key.missing:
        # Whether it is rotated by hand can't be told.
        yield facts.gap("rotation is off, by hand perhaps", key.missing["aliases"], Severity.MEDIUM)
        return
    if any(comes_after(other, facts) for other in estate.keys):
        return
    unknown = [o.arn for o in estate.keys if o.key.created_at is None and _takes_place(o, facts)]
    if unknown:
        yield facts.gap("rotation is off, by hand perhaps", f"{unknown[0]} is not known", Severity.MEDIUM)
        return
    evidence = "GetKeyRotationStatus: automatic rotation is off"
    earlier = [other for other in estate.keys if comes_after(facts, other)]
    age = estate.age(key.created_at)
    if earlier and key.aliases and age is not None:
        if age.days < estate.limits.rotation_days:
            return
        last = f"{age.days:,} days ago, the limit is {estate.limits.rotation_days:,}"
        evidence += f"; rotated by hand the last time {last} (after {earlier[0].key.name} {earlier[0].arn})"
    yield facts.finding(
        Severity.MEDIUM,
        f"{key.name} does not rotate",
        f"{evidence}; {facts.tokens_in_words()}",
        f"Turn rotation on: keydeck keys enable-rotation {facts.arn} --period {estate.limits.rotation_days}.",
    )


@rule(
    "kms-rotation-period",
    "KMS key that rotates too seldom",
    Severity.LOW,
    Facts.KEY,
    about="longer than KEYDECK_ROTATION_DAYS",
    controls=CONTROLS,
)
def rotation_period(facts: KeyFacts, estate: Estate) -> Said:
    key, limit = facts.key, estate.limits.rotation_days
    if not _rotates(facts) or not key.rotation_enabled:
        return
    if key.rotation_period_days is None:
        yield facts.gap("rotation period", "KMS does not tell", Severity.LOW)
    elif key.rotation_period_days > limit:
        yield facts.finding(
            Severity.LOW,
            f"{key.name} rotates every {key.rotation_period_days:,} days, the limit is {limit:,}",
            f"GetKeyRotationStatus: period {key.rotation_period_days:,} days; {facts.tokens_in_words()}",
            f"Shorten the period: keydeck keys enable-rotation {facts.arn} --period {limit}.",
        )


def comes_after(later: KeyFacts, earlier: KeyFacts) -> bool:
    born, before = later.key.created_at, earlier.key.created_at
    if born is None or before is None or born <= before:
        return False
    return later.key.spec == earlier.key.spec and _takes_place(later, earlier)


def _takes_place(later: KeyFacts, earlier: KeyFacts) -> bool:
    """Whether one key has a sign of being the other's next generation, whenever they were created."""
    written = later.writes and bool(earlier.tokens)
    named = any(_is_earlier(a, b) for a in earlier.key.aliases for b in later.key.aliases)
    if not written and not (named and region_of(later.arn) == region_of(earlier.arn)):
        return False
    return account_of(later.arn) == account_of(earlier.arn) and not same_key(later.arn, earlier.arn)


def marked_earlier(alias: str) -> bool:
    return re.search(f"(?:{_EARLIER.pattern})$", alias) is not None


def _is_earlier(alias: str, current: str) -> bool:
    return alias.startswith(current) and _EARLIER.fullmatch(alias[len(current) :]) is not None


def _rotates(facts: KeyFacts) -> bool:
    return facts.key.rotatable and facts.key.usable

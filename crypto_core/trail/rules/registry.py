"""Every rule about CloudTrail's events."""

from __future__ import annotations

from crypto_core.trail.rules import (
    access_changes,
    bulk,
    contexts,
    identity,
    key_changes,
    logging_changes,
    novelty,
    retired,
    writing,
)
from crypto_core.trail.rules.rule import Rule

RULES: tuple[Rule, ...] = (
    *retired.RULES,
    *novelty.RULES,
    *bulk.RULES,
    *contexts.RULES,
    *writing.RULES,
    *key_changes.RULES,
    *access_changes.RULES,
    *logging_changes.RULES,
    *identity.RULES,
)

BY_ID: dict[str, Rule] = {rule.id: rule for rule in RULES}

"""Every rule about CloudTrail's events."""

from __future__ import annotations

from crypto_core.trail.rules import (
    access_changes,
    bulk,
    contexts,
    foreign_data_keys,
    identity,
    key_changes,
    logging_changes,
    novelty,
    retired,
)
from crypto_core.trail.rules.rule import Rule

RULES: tuple[Rule, ...] = (
    *retired.RULES,
    *novelty.RULES,
    *bulk.RULES,
    *contexts.RULES,
    *foreign_data_keys.RULES,
    *key_changes.RULES,
    *access_changes.RULES,
    *logging_changes.RULES,
    *identity.RULES,
)

BY_ID: dict[str, Rule] = {rule.id: rule for rule in RULES}

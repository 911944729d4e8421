"""Data keys of tokens wrapped anew under a key that is none of those that guard tokens."""

from __future__ import annotations

from crypto_core.findings.registry import Facts, Said, Sigma, SigmaKeys, rule
from crypto_core.findings.severity import Severity
from crypto_core.findings.techniques import ENCRYPTED, STEAL_TOKEN
from crypto_core.key_names import account_of
from crypto_core.trail.event import KMS
from crypto_core.trail.rules.configured import one_of, patterns
from crypto_core.trail.rules.rule_context import (
    DID,
    OF_KMS,
    RuleContext,
    calls,
    found,
    listed,
    name_of,
    where_from,
)
from crypto_core.trail.store.event_questions import has, like


@rule(
    "event-rewrapped-elsewhere",
    "Tokens' data keys rewrapped under a key that is not trusted",
    Severity.CRITICAL,
    Facts.EVENTS,
    about="critical where that key is another account's",
    techniques=(STEAL_TOKEN, ENCRYPTED),
    sigma=Sigma(
        {"eventSource": KMS, "eventName": "ReEncrypt"},
        SigmaKeys.ELSEWHERE,
        failed=False,
        limits="Where the other key is of an expected account, it is high in Keydeck.",
        falsepositives=("keydeck rewrap to a new key, before it is trusted",),
    ),
)
def rewrapped_elsewhere(context: RuleContext) -> Said:
    """Yield who rewrapped from a guarding key to another, where tokens are opened without a record here."""
    keys = context.keys
    if not keys.guarding:
        return
    terms = (OF_KMS, DID, has("name", "ReEncrypt"), like("key", *patterns(keys.guarding, keys.names or {})))
    for group in context.history.groups(("principal", "key"), terms, context.window):
        principal, named = group.values
        others = [arn for arn in named.split(" ") if not one_of(arn, keys.guarding | keys.aliases)]
        if not others:
            continue
        foreign = sorted({a for arn in others if (a := account_of(arn)) and a not in keys.accounts})
        events = context.evidence(principal, (*terms, has("key", *others)))
        yield found(
            Severity.CRITICAL if foreign else Severity.HIGH,
            others[0],
            f"{name_of(principal)} rewrapped data keys under {context.key(others[0])}, which is not trusted",
            f"{calls(group.events)} of ReEncrypt under {listed(others)}"
            + (f", a key of account {listed(foreign)}" if foreign else "")
            + f"; from {where_from(events)}; by {principal}",
            "Whoever may decrypt under that key opens these tokens, and no record of it is made here: treat "
            "them as stolen. If the key is yours, trust it: KEYDECK_TRUSTED_KEYS.",
            events,
        )

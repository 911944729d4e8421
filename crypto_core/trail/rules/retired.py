"""Use of a compromised or retired key."""

from __future__ import annotations

from crypto_core.findings.registry import Facts, Said, Sigma, SigmaKeys, rule
from crypto_core.findings.severity import Severity
from crypto_core.findings.techniques import CLOUD_SECRETS, STEAL_TOKEN
from crypto_core.key_uses import USES
from crypto_core.trail.event import KMS
from crypto_core.trail.rules.configured import patterns
from crypto_core.trail.rules.rule_context import (
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
    "event-retired-key",
    "Use of a compromised or retired KMS key",
    Severity.CRITICAL,
    Facts.EVENTS,
    about="any use of a key in KEYDECK_RETIRED_KEYS",
    techniques=(STEAL_TOKEN, CLOUD_SECRETS),
    sigma=Sigma(
        {"eventSource": KMS, "eventName": list(USES)},
        SigmaKeys.RETIRED,
        limits="What failed is less in Keydeck.",
        falsepositives=("An instance of the platform that has not been given the new key yet",),
    ),
)
def retired_key(context: RuleContext) -> Said:
    """Yield who used a retired key, or tried to, services included; reads such as DescribeKey don't count."""
    keys = context.keys
    if not keys.retired:
        return
    about = like("key", *patterns(keys.retired, keys.names or {}))
    terms = (OF_KMS, has("name", *USES), about)
    for principal, groups in context.by_principal(terms, "name", "key", "error").items():
        events = context.evidence(principal, terms)
        done = sum(g.events for g in groups if not g.values[3])
        tried = sum(g.events for g in groups if g.values[3])
        used = list(dict.fromkeys(arn for g in groups for arn in g.values[2].split(" ") if arn))
        mine = [arn for arn in used if keys.is_retired([arn])] or used
        names = listed(dict.fromkeys(context.key(arn) for arn in mine))
        yield found(
            Severity.CRITICAL if done else Severity.HIGH.lowered(),
            mine[0] if mine else principal,
            f"{name_of(principal)} {'used' if done else 'tried to use'} {names}, which is retired",
            f"{calls(done)} that succeeded, {tried:,} that failed"
            f" ({listed(dict.fromkeys(e for g in groups if (e := g.values[3])))}): "
            f"{listed(dict.fromkeys(g.values[1] for g in groups))} from {where_from(events)}; "
            f"by {principal}; keys {listed(mine)}"
            if tried
            else f"{calls(done)}: {listed(dict.fromkeys(g.values[1] for g in groups))} from "
            f"{where_from(events)}; by {principal}; keys {listed(mine)}",
            "Find out who this is. If it is the platform, tokens are still under this key: keydeck status. "
            "If not, the tokens that it opened are lost: have new ones issued.",
            events,
        )

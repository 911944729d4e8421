"""An example of a package with rules for Keydeck: one about a key, one about CloudTrail's events.

Its pyproject.toml has:

    [project.entry-points."keydeck.rules"]
    acme = "acme_rules"

and Keydeck's settings `extensions = ["acme"]`.
"""

from __future__ import annotations

from collections.abc import Iterator

from crypto_core.findings.finding import Finding, Gap, Severity
from crypto_core.findings.registry import Facts, NoSigma, rule
from crypto_core.keys.posture.facts import Estate, KeyFacts
from crypto_core.trail.rules.rule_context import RuleContext, found
from crypto_core.trail.store.history import has


@rule("acme-key-owner", "A key whose description names no owner", Severity.LOW, Facts.KEY)
def key_owner(facts: KeyFacts, estate: Estate) -> Iterator[Finding | Gap]:
    """Yield the keys that guard tokens, and of which nobody says whose they are."""
    if facts.guards and "owner:" not in facts.key.description:
        yield Finding(
            "acme-key-owner",
            Severity.LOW,
            facts.key.key_arn,
            "the key's description names no owner",
            facts.key.description or "no description",
            "Write owner: and the team's name into it.",
        )


@rule(
    "acme-listed",
    "Somebody lists keys",
    Severity.MEDIUM,
    Facts.EVENTS,
    sigma=NoSigma("an example"),
)
def listed(context: RuleContext) -> Iterator[Finding | Gap]:
    """Yield who called ListKeys, each principal once."""
    terms = (has("name", "ListKeys"),)
    for group in context.history.groups(("principal",), terms, context.window):
        principal = group.values[0]
        events = context.evidence(principal, terms)
        yield found(Severity.MEDIUM, principal, "listed keys", f"{group.events} calls", "Ask why.", events)


@rule("acme-broken", "A rule that fails", Severity.HIGH, Facts.KEYS)
def broken(estate: Estate) -> Iterator[Finding | Gap]:
    """Fail, as rules do."""
    raise ZeroDivisionError
    yield

"""Use of keys by an account's root user, or with the credentials of a console session."""

from __future__ import annotations

from crypto_core.findings.finding import Severity
from crypto_core.findings.registry import Facts, Said, Sigma, SigmaKeys, rule
from crypto_core.findings.standards import CLOUD_ACCOUNTS
from crypto_core.keys.key_uses import USES
from crypto_core.trail.event import KMS
from crypto_core.trail.rules.rule_context import (
    NO_SERVICE,
    OF_KMS,
    RuleContext,
    calls,
    found,
    listed,
    name_of,
    where_from,
)
from crypto_core.trail.store.history import flag, has


@rule(
    "event-root-use",
    "KMS called by an account's root user",
    Severity.HIGH,
    Facts.EVENTS,
    techniques=(CLOUD_ACCOUNTS,),
    sigma=Sigma(
        {"eventSource": KMS, "userIdentity.type": "Root"},
        limits="What only looks, what failed, and what a service did in root's name is less in Keydeck.",
        falsepositives=("An account that is being set up",),
    ),
)
def root_use(context: RuleContext) -> Said:
    """Yield root users who called KMS, for any key; what services did for root is one degree less."""
    own = context.history.groups(("principal", "name"), (OF_KMS, flag("root"), NO_SERVICE), context.window)
    by_itself = {g.values for g in own}
    for principal, mine in context.by_principal((OF_KMS, flag("root")), "name", "error").items():
        done = [g for g in mine if not g.values[2]]
        changes = [g for g in done if not g.values[1].startswith(("Describe", "List", "Get"))]
        severity = Severity.HIGH if changes else Severity.LOW
        if not any(g.values[:2] in by_itself for g in changes):
            severity = severity.lowered()
        named = [has("name", *dict.fromkeys(g.values[1] for g in changes))] if changes else []
        events = context.evidence(principal, (OF_KMS, flag("root"), *named))
        yield found(
            severity,
            principal,
            f"The root user of {_account(principal)} called KMS",
            f"{calls(sum(g.events for g in mine))}: {listed(dict.fromkeys(g.values[1] for g in mine), 8)} "
            f"from {where_from(events)}; by {principal}",
            "No one should work as root. Find out who it was, and lock the credentials away with MFA.",
            events,
        )


def _account(principal: str) -> str:
    parts = principal.split(":")
    return f"account {parts[4]}" if len(parts) >= 6 and parts[4] else "an account"


@rule(
    "event-console-use",
    "KMS key used from a console session",
    Severity.MEDIUM,
    Facts.EVENTS,
    techniques=(CLOUD_ACCOUNTS,),
    sigma=Sigma(
        {"eventSource": KMS, "eventName": list(USES), "sessionCredentialFromConsole": ["true", True]},
        SigmaKeys.GUARDING,
        services=False,
        falsepositives=("CloudShell of an on-call engineer",),
    ),
)
def console_use(context: RuleContext) -> Said:
    """Yield console sessions that used a guarded key; what services open for the console is left out."""
    terms = (OF_KMS, has("name", *USES), flag("console"), NO_SERVICE, *context.on_guarded)
    for principal, mine in context.by_principal(terms, "name", "error").items():
        done = any(not g.values[2] for g in mine)
        events = context.evidence(principal, terms)
        yield found(
            Severity.MEDIUM if done else Severity.LOW,
            principal,
            f"{name_of(principal)} {'used' if done else 'tried to use'} a key from a console session",
            f"{calls(sum(g.events for g in mine))}: {listed(dict.fromkeys(g.values[1] for g in mine), 8)} "
            f"from {where_from(events)}; by {principal}",
            "People don't need data keys. Ask why, and take kms:Decrypt away from people who sign in.",
            events,
        )

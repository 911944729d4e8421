"""Use of keys by an account's root user, or with the credentials of a console session."""

from __future__ import annotations

from collections.abc import Iterator

from crypto_core.findings.finding import Finding, Gap
from crypto_core.findings.severity import Severity
from crypto_core.findings.techniques import CLOUD_ACCOUNTS
from crypto_core.trail.event import KMS, OPENS, SEALS
from crypto_core.trail.rules.rule import Rule, Sigma
from crypto_core.trail.rules.rule_context import (
    NO_SERVICE,
    OF_KMS,
    RuleContext,
    calls,
    found,
    listed,
    lower,
    name_of,
    where_from,
)
from crypto_core.trail.store.history import Group, flag, has

_ROOT = "event-root-use"
_CONSOLE = "event-console-use"
_USES = tuple(sorted(OPENS | SEALS))


def _root(watched: RuleContext) -> Iterator[Finding | Gap]:
    """Yield root users who called KMS, for whichever key.

    What a service opens in root's name, such as an object of S3, is told as well, one degree less: root
    should not be there at all. Looking around is low.
    """
    groups = watched.history.groups(("principal", "name", "error"), (OF_KMS, flag("root")), watched.window)
    own = watched.history.groups(("principal", "name"), (OF_KMS, flag("root"), NO_SERVICE), watched.window)
    by_itself = {g.values for g in own}
    by_root: dict[str, list[Group]] = {}
    for group in groups:
        by_root.setdefault(group.values[0], []).append(group)
    for principal, mine in by_root.items():
        done = [g for g in mine if not g.values[2]]
        changes = [g for g in done if not g.values[1].startswith(("Describe", "List", "Get"))]
        severity = Severity.HIGH if changes else Severity.LOW
        if not any(g.values[:2] in by_itself for g in changes):
            severity = lower(severity)
        terms = watched.of(principal, (OF_KMS, flag("root")))
        if changes:
            terms = (*terms, has("name", *dict.fromkeys(g.values[1] for g in changes)))
        events = watched.evidence(terms)
        yield found(
            _ROOT,
            severity,
            principal,
            f"The root user of {_account(principal)} called KMS",
            f"{calls(sum(g.events for g in mine))}: {listed(dict.fromkeys(g.values[1] for g in mine), 8)} "
            f"from {where_from(events)}; by {principal}",
            "Nobody should work as root. Find out who it was, and lock its credentials away with MFA.",
            events,
        )


def _account(principal: str) -> str:
    parts = principal.split(":")
    return f"account {parts[4]}" if len(parts) >= 6 and parts[4] else "an account"


def _console(watched: RuleContext) -> Iterator[Finding | Gap]:
    """Yield console sessions that used a guarded key.

    What services open while somebody looks around in the console, such as objects of S3, is left out: it is
    no use of a token's key by that person.
    """
    terms = (OF_KMS, has("name", *_USES), flag("console"), NO_SERVICE, *watched.on_guarded)
    groups: dict[str, list[Group]] = {}
    for group in watched.history.groups(("principal", "name", "error"), terms, watched.window):
        groups.setdefault(group.values[0], []).append(group)
    for principal, mine in groups.items():
        done = any(not g.values[2] for g in mine)
        events = watched.evidence(watched.of(principal, terms))
        yield found(
            _CONSOLE,
            Severity.MEDIUM if done else Severity.LOW,
            principal or "unknown",
            f"{name_of(principal)} {'used' if done else 'tried to use'} a key from a console session",
            f"{calls(sum(g.events for g in mine))}: {listed(dict.fromkeys(g.values[1] for g in mine), 8)} "
            f"from {where_from(events)}; by {principal}",
            "People need no data keys. Ask why, and take kms:Decrypt away from whoever signs in.",
            events,
        )


RULES = (
    Rule(
        _ROOT,
        "KMS called by an account's root user",
        Severity.HIGH,
        (CLOUD_ACCOUNTS,),
        Sigma(
            {"eventSource": KMS, "userIdentity.type": "Root"},
            {"eventType": "AwsServiceEvent"},
            falsepositives=("An account that is being set up",),
        ),
        _root,
    ),
    Rule(
        _CONSOLE,
        "KMS key used from a console session",
        Severity.MEDIUM,
        (CLOUD_ACCOUNTS,),
        Sigma(
            {"eventSource": KMS, "eventName": list(_USES), "sessionCredentialFromConsole": ["true", True]},
            {"userIdentity.invokedBy|endswith": ".amazonaws.com"},
            falsepositives=("CloudShell of somebody on call",),
        ),
        _console,
    ),
)

"""Many at once: tokens opened, calls denied. What a principal did at its busiest before is normal for it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from crypto_core.findings.finding import Finding, Gap
from crypto_core.findings.severity import Severity
from crypto_core.findings.techniques import CLOUD_ACCOUNTS, DATABASES, DISCOVERY, STEAL_TOKEN
from crypto_core.trail.rules.rule import Correlation, Rule, Sigma
from crypto_core.trail.rules.rule_context import (
    FAILED,
    NO_SERVICE,
    OF_KMS,
    RuleContext,
    calls,
    found,
    listed,
    name_of,
    where_from,
)
from crypto_core.trail.store.history import Burst, Span, has

_TOKENS = "event-bulk-tokens"
_DECRYPTS = "event-bulk-decrypt"
_FAILURES = "event-failed-burst"

MINUTES = 10
TOKENS = 50
"""So many different tokens in so many minutes are many."""
DECRYPTS = 200
"""So many Decrypts in an hour are many."""
FAILURES = 10
"""So many failed calls in so many minutes are many."""
OPERATIONS = 3
"""Whoever is denied so many different operations in so many minutes tries out what it may do."""
TIMES = 3
"""A principal does much if it does so many times what it did at its busiest before."""
DAYS = 14
"""So many days before the window are compared with."""

_NOT_FAILED = ("ThrottlingException", "DryRunOperationException")
"""KMS asks to wait, or says that a call would have passed: nobody was refused anything."""


def _tokens(watched: RuleContext) -> Iterator[Finding | Gap]:
    """Yield who opened many different tokens within minutes; only v2 names them in CloudTrail."""
    now = watched.history.bursts(
        watched.openings, watched.window, minutes=MINUTES, distinct="token", present="token"
    )
    many = {who: burst for who, burst in now.items() if burst.number >= TOKENS}
    if not many:
        return
    usual = watched.history.bursts(
        (*watched.openings, has("principal", *many)),
        _lately(watched),
        minutes=MINUTES,
        distinct="token",
        present="token",
    )
    for principal, burst, before in _unusual(many, usual):
        events = watched.evidence(watched.of(principal, watched.openings), _stretch(burst, MINUTES))
        yield found(
            _TOKENS,
            Severity.HIGH,
            principal,
            f"{name_of(principal)} opened many tokens within {MINUTES} minutes",
            f"{burst.number:,} different tokens from {burst.since:%Y-%m-%d %H:%M} UTC on, before at most "
            f"{before:,} in {MINUTES} minutes; from {where_from(events)}; by {principal}",
            "If no job of the platform explains it, treat these tokens as stolen: keydeck events principal "
            f"{principal} lists them; have new ones issued.",
            events,
        )


def _decrypts(watched: RuleContext) -> Iterator[Finding | Gap]:
    """Yield who made far more Decrypts in an hour than ever before.

    For v1 no token is named, so calls are counted; without a baseline only a principal that is no platform's
    could be told, and nobody knows which that is: the gap about the baseline says so.
    """
    if not watched.has_baseline:
        return
    now = watched.history.hourly(watched.openings, watched.window)
    many = {who: burst for who, burst in now.items() if burst.number >= DECRYPTS}
    if not many:
        return
    usual = watched.history.hourly((*watched.openings, has("principal", *many)), watched.before)
    for principal, burst, before in _unusual(many, usual):
        events = watched.evidence(watched.of(principal, watched.openings), _stretch(burst, 60))
        yield found(
            _DECRYPTS,
            Severity.HIGH,
            principal,
            f"{name_of(principal)} opened far more than ever within an hour",
            f"{calls(burst.number)} from {burst.since:%Y-%m-%d %H:%M} UTC on, before at most {before:,} in "
            f"an hour; from {where_from(events)}; by {principal}",
            "If no job of the platform explains it, treat every token under these keys as stolen: keydeck "
            f"events principal {principal}.",
            events,
        )


def _failures(watched: RuleContext) -> Iterator[Finding | Gap]:
    """Yield who failed again and again within minutes, or was denied one operation after another.

    AWS services look around everywhere and are denied much: theirs are left out.
    """
    terms = (OF_KMS, NO_SERVICE, FAILED, has("error", *_NOT_FAILED, negated=True))
    many = {
        who: burst
        for who, burst in watched.history.bursts(terms, watched.window, minutes=MINUTES).items()
        if burst.number >= FAILURES
    }
    usual = watched.history.bursts(terms, _lately(watched), minutes=MINUTES) if many else {}
    told: set[str] = set()
    for principal, burst, before in _unusual(many, usual):
        told.add(principal)
        yield _failed(watched, principal, burst, Severity.HIGH, f"{burst.number:,} failed calls", before)
    tries = watched.history.bursts(
        (*terms, has("error", *DENIALS)), watched.window, minutes=MINUTES, distinct="name"
    )
    for principal, burst in tries.items():
        if burst.number >= OPERATIONS and principal not in told:
            what = f"{burst.number:,} different operations denied"
            yield _failed(watched, principal, burst, Severity.MEDIUM, what, None)


DENIALS = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "Client.UnauthorizedOperation")


def _failed(
    watched: RuleContext, principal: str, burst: Burst, severity: Severity, what: str, before: int | None
) -> Finding:
    terms = watched.of(principal, (OF_KMS, NO_SERVICE, FAILED, has("error", *_NOT_FAILED, negated=True)))
    events = watched.evidence(terms, _stretch(burst, MINUTES))
    usual = "" if before is None else f", before at most {before:,}"
    return found(
        _FAILURES,
        severity,
        principal,
        f"{name_of(principal)} was refused again and again",
        f"{what} within {MINUTES} minutes from {burst.since:%Y-%m-%d %H:%M} UTC on{usual}: "
        f"{listed(dict.fromkeys(f'{e.name} {e.error_code}' for e in events))}; from {where_from(events)}; "
        f"by {principal}",
        "Whoever tries out what it may do is no program of yours, or one that was deployed wrongly. See what "
        f"it was allowed: keydeck events principal {principal}.",
        events,
    )


def _unusual(many: dict[str, Burst], usual: dict[str, Burst]) -> Iterator[tuple[str, Burst, int]]:
    for principal, burst in many.items():
        before = usual[principal].number if principal in usual else 0
        if burst.number >= TIMES * before:
            yield principal, burst, before


def _lately(watched: RuleContext) -> Span:
    return Span(watched.since - timedelta(days=DAYS), watched.since)


def _stretch(burst: Burst, minutes: int) -> Span:
    return Span(burst.since, burst.since + timedelta(minutes=minutes))


RULES = (
    Rule(
        _TOKENS,
        "Many different tokens opened within minutes",
        Severity.HIGH,
        (STEAL_TOKEN, DATABASES),
        Sigma(
            {
                "eventSource": "kms.amazonaws.com",
                "eventName": "Decrypt",
                "requestParameters.encryptionContext.keydeck:id|exists": True,
            },
            falsepositives=("A job of the platform that reads all connections", "keydeck verify --all"),
            correlation=Correlation(
                TOKENS, f"{MINUTES}m", distinct="requestParameters.encryptionContext.keydeck:id"
            ),
        ),
        _tokens,
    ),
    Rule(
        _DECRYPTS,
        "Far more Decrypts within an hour than ever before",
        Severity.HIGH,
        (STEAL_TOKEN, DATABASES),
        Sigma(
            {"eventSource": "kms.amazonaws.com", "eventName": ["Decrypt", "ReEncrypt"]},
            limits="Sigma has no baseline: set the number to three times the busiest hour.",
            falsepositives=("keydeck reencrypt", "A restart of the platform that empties its caches"),
            correlation=Correlation(DECRYPTS, "1h"),
        ),
        _decrypts,
    ),
    Rule(
        _FAILURES,
        "Failed or denied calls of KMS again and again",
        Severity.HIGH,
        (DISCOVERY, CLOUD_ACCOUNTS),
        Sigma(
            {"eventSource": "kms.amazonaws.com", "errorCode|exists": True},
            {"errorCode": list(_NOT_FAILED)},
            falsepositives=("A deployment whose role lacks a permission",),
            correlation=Correlation(FAILURES, f"{MINUTES}m"),
        ),
        _failures,
    ),
)

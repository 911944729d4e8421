"""Many at once: tokens opened, calls denied. What a principal did at its busiest before is normal for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Set
from datetime import timedelta
from functools import partial

from crypto_core.findings.finding import Finding, Severity
from crypto_core.findings.registry import Correlation, Facts, NoSigma, Said, Sigma, rule
from crypto_core.findings.standards import CLOUD_ACCOUNTS, DATABASES, DISCOVERY, STEAL_TOKEN
from crypto_core.lists.filter_language import Term
from crypto_core.trail.event import DENIED, KMS
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

MINUTES = 10
TOKENS = 50
DECRYPTS = 200
FAILURES = 10
OPERATIONS = 3
"""So many different denied operations in so many minutes count as probing."""
PROBES = 5
"""So do so many within a day that the principal was never denied before."""
TIMES = 3
"""A principal does much if it does so many times what it did at its busiest before."""
DAYS = 14

_NOT_FAILED = ("ThrottlingException", "DryRunOperationException")
"""KMS asked to wait, or reported that a call would have passed: not a refusal."""
_NO_SIGMA = NoSigma("many is what is far more than the same principal ever did before")
_DAY = 24 * 60
_FAILURES = (OF_KMS, NO_SERVICE, FAILED, has("error", *_NOT_FAILED, negated=True))
_DENIALS = (*_FAILURES, has("error", *DENIED))


@rule(
    "event-bulk-tokens",
    "Many different tokens opened within minutes",
    Severity.HIGH,
    Facts.EVENTS,
    techniques=(STEAL_TOKEN, DATABASES),
    sigma=_NO_SIGMA,
)
def bulk_tokens(context: RuleContext) -> Said:
    """Yield who opened many tokens (v2, which CloudTrail names) within minutes; rewraps open none."""
    count = partial(context.history.bursts, minutes=MINUTES, distinct="token")
    now = count(context.read_out, context.window)
    for principal, burst, before in _unusual(
        now, TOKENS, lambda by: count((*context.read_out, by), _lately(context))
    ):
        events = context.evidence(principal, context.read_out, _stretch(burst, MINUTES))
        yield found(
            Severity.HIGH,
            principal,
            f"{name_of(principal)} opened many tokens within {MINUTES} minutes",
            f"{burst.number:,} different tokens from {burst.since:%Y-%m-%d %H:%M} UTC on, before at most "
            f"{before:,} in {MINUTES} minutes; from {where_from(events)}; by {principal}",
            "If no job of the platform explains it, treat these tokens as stolen: keydeck events principal "
            f"{principal} lists them; have new ones issued.",
            events,
        )


@rule(
    "event-bulk-decrypt",
    "Far more Decrypts within an hour than ever before",
    Severity.HIGH,
    Facts.EVENTS,
    techniques=(STEAL_TOKEN, DATABASES),
    sigma=_NO_SIGMA,
)
def bulk_decrypt(context: RuleContext) -> Said:
    """Yield who made far more Decrypts in an hour than ever before.

    For v1 no token is named, so calls are counted; without a baseline only a principal that is no platform's
    could be told, and nobody knows which that is: the gap about the baseline says so.
    """
    if not context.has_baseline:
        return
    now = context.history.hourly(context.read_out, context.window)
    for principal, burst, before in _unusual(
        now, DECRYPTS, lambda by: context.history.hourly((*context.read_out, by), context.before)
    ):
        events = context.evidence(principal, context.read_out, _peak(context, principal, burst))
        yield found(
            Severity.HIGH,
            principal,
            f"{name_of(principal)} opened far more than ever within an hour",
            f"{calls(burst.number)} from {burst.since:%Y-%m-%d %H:%M} UTC on, before at most {before:,} in "
            f"an hour; from {where_from(events)}; by {principal}",
            "If no job of the platform explains it, treat every token under these keys as stolen: keydeck "
            f"events principal {principal}.",
            events,
        )


@rule(
    "event-failed-burst",
    "Failed or denied calls of KMS again and again",
    Severity.HIGH,
    Facts.EVENTS,
    techniques=(DISCOVERY, CLOUD_ACCOUNTS),
    sigma=Sigma(
        {"eventSource": KMS, "errorCode": list(DENIED)},
        services=False,
        level=Severity.MEDIUM,
        limits="Keydeck also counts failed calls of one operation, against what failed before, and adds up "
        "all sessions of a role.",
        falsepositives=("A deployment whose role lacks a permission",),
        correlation=Correlation(f"{MINUTES}m", distinct="eventName", at_least=OPERATIONS),
    ),
)
def failed_burst(context: RuleContext) -> Said:
    """Yield who failed often within minutes, or was denied one operation after another; no services."""
    count = partial(context.history.bursts, minutes=MINUTES)
    now = count(_FAILURES, context.window)
    told: set[str] = set()
    for principal, burst, before in _unusual(
        now, FAILURES, lambda by: count((*_FAILURES, by), _lately(context))
    ):
        told.add(principal)
        what = f"{burst.number:,} failed calls within {MINUTES} minutes"
        yield _failed(context, principal, burst, MINUTES, Severity.HIGH, what, f", before at most {before:,}")
    as_ever = {who for who, burst in now.items() if burst.number >= FAILURES} - told
    for name, principal, burst, before in _unusual_by_operation(context, as_ever):
        if principal not in told:
            told.add(principal)
            what = f"{burst.number:,} failed calls of {name} within {MINUTES} minutes"
            usual = f", before at most {before:,}"
            yield _failed(context, principal, burst, MINUTES, Severity.HIGH, what, usual)
    for principal, burst in count(_DENIALS, context.window, distinct="name").items():
        if burst.number >= OPERATIONS and principal not in told:
            what = f"{burst.number:,} different operations denied within {MINUTES} minutes"
            yield _failed(context, principal, burst, MINUTES, Severity.MEDIUM, what, "")


@rule(
    "event-denied-slowly",
    "One operation after another denied over a day",
    Severity.MEDIUM,
    Facts.EVENTS,
    about="operations that the principal was never denied before",
    techniques=(DISCOVERY, CLOUD_ACCOUNTS),
    sigma=NoSigma("what a principal was denied before is known from the weeks before"),
)
def denied_slowly(context: RuleContext) -> Said:
    """Yield who was denied one new operation after another, too slowly for `failed_burst`."""
    count = partial(context.history.bursts, _DENIALS, context.window, distinct="name")
    daily = {who: burst for who, burst in count(minutes=_DAY).items() if burst.number >= PROBES}
    at_once = count(minutes=MINUTES) if daily else {}
    for principal, burst in daily.items():
        new = _newly_denied(context, principal, _stretch(burst, _DAY))
        if new >= PROBES and at_once[principal].number < OPERATIONS:
            what = f"{new:,} different operations denied within a day"
            yield _failed(context, principal, burst, _DAY, Severity.MEDIUM, what, ", before never")


def _newly_denied(context: RuleContext, principal: str, day: Span) -> int:
    terms = context.of(principal, _DENIALS)
    now, before = (
        {g.values for g in context.history.groups(("name",), terms, span)} for span in (day, _lately(context))
    )
    return len(now - before)


def _unusual_by_operation(
    context: RuleContext, principals: Set[str]
) -> Iterator[tuple[str, str, Burst, int]]:
    """Yield which of these principals, that fail much as ever, fail at an operation as never before."""
    if not principals:
        return
    terms = (*_FAILURES, has("principal", *principals))
    count = partial(context.history.bursts, minutes=MINUTES)
    for group in context.history.groups(("name",), terms, context.window):
        mine = (*terms, has("name", *group.values))
        before = count(mine, _lately(context))
        for principal, burst in count(mine, context.window).items():
            usual = before[principal].number if principal in before else 0
            if burst.number >= max(FAILURES, TIMES * usual):
                yield group.values[0], principal, burst, usual


def _failed(
    context: RuleContext,
    principal: str,
    burst: Burst,
    minutes: int,
    severity: Severity,
    what: str,
    usual: str,
) -> Finding:
    events = context.evidence(principal, _FAILURES, _stretch(burst, minutes))
    return found(
        severity,
        principal,
        f"{name_of(principal)} was denied again and again",
        f"{what} from {burst.since:%Y-%m-%d %H:%M} UTC on{usual}: "
        f"{listed(dict.fromkeys(f'{e.name} {e.error_code}' for e in events))}; from {where_from(events)}; "
        f"by {principal}",
        "Whatever probes its permissions is not one of your programs, or was deployed wrongly. See what "
        f"it was allowed: keydeck events principal {principal}.",
        events,
    )


def _unusual(
    now: dict[str, Burst], least: int, usual: Callable[[Term], dict[str, Burst]]
) -> Iterator[tuple[str, Burst, int]]:
    """Yield who did at least so much and far more than before, and what `usual` says they did before."""
    many = {who: burst for who, burst in now.items() if burst.number >= least}
    before = usual(has("principal", *many)) if many else {}
    for principal, burst in many.items():
        busiest = before[principal].number if principal in before else 0
        if burst.number >= TIMES * busiest:
            yield principal, burst, busiest


def _lately(context: RuleContext) -> Span:
    return Span(context.since - timedelta(days=DAYS), context.since)


def _peak(context: RuleContext, principal: str, hour: Burst) -> Span:
    """The busiest minutes of an hour: what a principal does as ever in that hour says nothing of the rest."""
    within = _stretch(hour, 60)
    busiest = context.history.bursts(context.of(principal, context.read_out), within, minutes=MINUTES)
    return _stretch(busiest[principal], MINUTES) if principal in busiest else within


def _stretch(burst: Burst, minutes: int) -> Span:
    return Span(burst.since, burst.since + timedelta(minutes=minutes))

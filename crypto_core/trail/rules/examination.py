"""One examination: what every rule says of a window of events, whoever answers their questions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Event

from crypto_core.findings.finding import Finding, Gap, Severity, coverage_of, once_each
from crypto_core.findings.registry import Facts, rules_about
from crypto_core.lists.coverage import Coverage
from crypto_core.trail.columns import moment, seconds
from crypto_core.trail.coverage_record import FRESH
from crypto_core.trail.event import MOST_SKEW
from crypto_core.trail.rules.rule_context import BASELINE_DAYS, MOST_FINDINGS, RuleContext
from crypto_core.trail.sources.pull_query import LATE
from crypto_core.trail.store.history import Span
from crypto_core.trail.store.pulls import lacking
from crypto_core.trail.store.suppressions import Suppressed, Suppression
from crypto_core.values.cancellation import stop_if
from crypto_core.values.counts import counted
from crypto_core.values.errors import RefusedError

WINDOW = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Examined:
    """What the rules say of a window, the worst first, what they couldn't examine, and what is suppressed."""

    since: datetime
    until: datetime
    findings: tuple[Finding, ...] = ()
    gaps: tuple[Gap, ...] = ()
    suppressed: tuple[Suppressed, ...] = ()
    suppressions: tuple[Suppression, ...] = ()
    empty: bool = False
    """True where the store has no event of the window: no rule was asked."""

    @property
    def coverage(self) -> Coverage:
        return coverage_of(self.gaps)


def window(since: datetime | None, until: datetime | None, now: datetime) -> tuple[datetime, datetime]:
    """Return what is examined: by default the last day. Raises RefusedError if it ends before it begins."""
    until = until or now
    since = since or until - WINDOW
    if since >= until:
        raise RefusedError("The window ends before it begins.", remedy="Give an earlier --since.")
    return since, until


def examine(
    context: RuleContext, gaps: Iterable[Gap], now: datetime, cancelled: Event | None = None
) -> tuple[tuple[Finding, ...], tuple[Gap, ...]]:
    """Return what the rules say, the worst first, and what could not be examined, `gaps` among it.

    Raises what the context's questions raise.
    """
    said: list[Finding | Gap] = [*gaps, *_baseline(context), *_to_come(context, now)]
    said += unseen_changes(context, now)
    for rule in rules_about(Facts.EVENTS):
        stop_if(cancelled)
        said += _bounded(rule.id, rule(context))
    return once_each(said)


def _baseline(context: RuleContext) -> Iterable[Gap]:
    if not context.has_baseline:
        yield Gap(
            f"CloudTrail events: no baseline yet: events on {counted(context.days_before, 'day')} before "
            f"{context.since:%Y-%m-%d %H:%M} UTC, {BASELINE_DAYS} days are needed to recognise what is new",
            Severity.LOW,
        )


def _to_come(context: RuleContext, now: datetime) -> Iterable[Gap]:
    """What is dated after now is in no window that ends now."""
    begin = now + MOST_SKEW
    if context.until > begin:
        return
    for event in context.history.events((), Span(begin, None), limit=1, newest_first=False):
        yield Gap(
            f"CloudTrail events: some are dated in the future, the first {event.time:%Y-%m-%d %H:%M} UTC "
            f"(event {event.event_id}): a clock is wrong, or they were made up. They are not examined: "
            f"keydeck findings --until {event.time + timedelta(days=1):%Y-%m-%d} does it",
            Severity.HIGH,
        )


def _bounded(rule: str, said: Iterable[Finding | Gap]) -> list[Finding | Gap]:
    findings, missing = once_each(said)
    gaps = [*missing]
    more = len(findings) - MOST_FINDINGS
    if more > 0:
        worst = findings[MOST_FINDINGS].severity
        gaps.append(Gap(f"CloudTrail events: {more:,} more findings of {rule} are not listed", worst))
    return [*gaps, *findings[:MOST_FINDINGS]]


_NONE = (
    "CloudTrail events: whether the trails' buckets were changed: no pull has asked which buckets these are: "
    "keydeck events pull"
)


def unseen_changes(context: RuleContext, now: datetime) -> Iterator[Gap]:
    """Yield a gap for each bucket of which not all of the window was fetched, or for all if none is known."""
    if not context.trail_buckets:
        yield Gap(_NONE, Severity.LOW)
    since, until = seconds(context.since), seconds(context.until)
    fresh = seconds(now - LATE - FRESH)
    for bucket, by_name in context.followed.items():
        missing = [gap for windows in by_name.values() for gap in lacking(windows, since, until, fresh)]
        if missing:
            first, end = min(gap.since for gap in missing), max(gap.until for gap in missing)
            yield Gap(
                f"CloudTrail events: changes of bucket {bucket.name} of a trail were not fetched from "
                f"{moment(first):%Y-%m-%d %H:%M} to {moment(end):%Y-%m-%d %H:%M} UTC: keydeck events pull "
                f"--since {moment(first):%Y-%m-%d}",
                Severity.MEDIUM,
            )

"""Of which time the changes of trails' buckets were not fetched: there, no finding means nothing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from crypto_core.findings.finding import Gap
from crypto_core.findings.severity import Severity
from crypto_core.trail.columns import moment, seconds
from crypto_core.trail.coverage_record import FRESH
from crypto_core.trail.rules.rule_context import RuleContext
from crypto_core.trail.sources.pull_query import LATE
from crypto_core.trail.store.pulls import unfetched

_NONE = (
    "CloudTrail events: whether the trails' buckets were changed: no pull has asked which buckets these are: "
    "keydeck events pull"
)


def unseen_changes(context: RuleContext, now: datetime) -> Iterator[Gap]:
    """Yield a gap for each bucket of which not all of the window was fetched, or for all where none is known.

    Like all coverage, this says nothing of the last hour where the time before it was fetched.
    """
    if not context.trail_buckets:
        yield Gap(_NONE, Severity.LOW)
    since, until = seconds(context.since), seconds(context.until)
    fresh = seconds(now - LATE - FRESH)
    for bucket, by_name in context.followed.items():
        ends = [max((window.until for window in windows), default=0) for windows in by_name.values()]
        last = min(until, *ends) if min(ends) >= fresh else until
        missing = [gap for windows in by_name.values() for gap in unfetched(windows, since, last)]
        if missing:
            first, end = min(gap.since for gap in missing), max(gap.until for gap in missing)
            yield Gap(
                f"CloudTrail events: changes of bucket {bucket.name} of a trail were not fetched from "
                f"{moment(first):%Y-%m-%d %H:%M} to {moment(end):%Y-%m-%d %H:%M} UTC: keydeck events pull "
                f"--since {moment(first):%Y-%m-%d}",
                Severity.MEDIUM,
            )

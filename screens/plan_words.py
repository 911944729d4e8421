"""What a plan says, in words for a terminal's lines and for a screen alike."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from crypto_core.reencryption.jobs.model import JobPlan
from crypto_core.reencryption.plan import Plan
from crypto_core.text.counting import counted
from screens.ages import span


def plan_lines(plan: Plan, kms_calls: int) -> Iterator[str]:
    """Yield what a run would do, line by line, cleaned. `kms_calls` is how many calls of KMS it takes."""
    yield f"{plan.verb.words}: {counted(plan.tokens, 'token')} ({plan.selection})"
    yield f"to {plan.target_name}  {plan.target_key_arn}"
    for column, tokens in plan.by_column.items():
        yield f"  {column}  {tokens:,}"
    for conversion in plan.conversions:
        if conversion.changes:
            yield f"  {conversion.source} becomes {conversion.written}: {conversion.tokens:,}"
    yield f"KMS calls: {kms_calls:,}"
    for unwritten in plan.refused:
        yield f"Left as it is: {unwritten.reference}: {unwritten.reason}."
    for warning in plan.warnings:
        yield f"Note: {warning}"
    for reason in plan.coverage.reasons:
        yield f"Not covered: {reason}"


def takes_words(plan: JobPlan, processes: int | None) -> str:
    """Return what a job takes: time, share of the quota, cost, processes (None: as many as cores take)."""
    time = span(timedelta(seconds=max(plan.seconds, 1)))
    many = "process" if processes == 1 else "processes"
    number = "as many processes as cores take" if processes is None else f"{processes:,} {many}"
    return (
        f"at least {time}, at up to {plan.calls_per_second:,.0f} KMS calls/s, {plan.quota_share:.0%} of the "
        f"quota of {plan.quota:,} that production shares; about ${plan.dollars:,.2f}; {number}"
    )

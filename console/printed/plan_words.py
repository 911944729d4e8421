"""A plan for tokens, and what a run did, in words for a terminal."""

from __future__ import annotations

import click

from console.printed.printing import print_json, say
from crypto_core.reencryption.plan import Plan, RunResult
from crypto_core.text.counting import counted
from screens.plan_words import plan_lines


def print_nothing_to_do(plan: Plan, *, as_json: bool) -> int:
    """Print a plan without tokens; returns the exit code."""
    if as_json:
        print_json(plan.as_json() | {"dry_run": False, "job": None, "planned": 0, "done": 0, "remaining": 0})
    else:
        print_plan(plan)
    return 0 if plan.whole else 1


def print_plan(plan: Plan, *, kms_calls: int | None = None, err: bool = False) -> None:
    """Print what a run would do; a job takes `kms_calls`."""
    for line in plan_lines(plan, plan.kms_calls if kms_calls is None else kms_calls):
        click.echo(line, err=err)


def print_result(result: RunResult) -> None:
    """Print what a run did."""
    rate = f"{result.done / result.seconds:,.0f} tokens/s" if result.seconds else ""
    click.echo(
        f"{result.verb.words}: {result.done:,} of {result.planned:,} tokens written in {result.seconds:.1f} s"
        f" ({rate}, {counted(result.kms_calls, 'KMS call')})"
    )
    if result.conflicts_retried:
        click.echo(f"changed meanwhile and tried again: {result.conflicts_retried:,}")
    if result.changed_meanwhile:
        click.echo(f"written or removed by somebody else meanwhile, left alone: {result.changed_meanwhile:,}")
    for unwritten in result.poisoned:
        click.echo(f"not written: {unwritten.reference}: {unwritten.reason}")
    if result.stopped_by:
        say(f"Stopped: {result.stopped_by}")
    if result.remaining:
        say(f"{counted(result.remaining, 'token')} left. Run the command again to go on.")

"""A plan for tokens, and what a run did, in words for a terminal."""

from __future__ import annotations

from console.printed.output import print_json, print_line, print_styled, say
from crypto_core.reencryption.plan import Plan, RunResult
from screens.plan_words import plan_lines, result_lines, stop_lines
from screens.styled_text import plain


def print_nothing_to_do(plan: Plan, *, as_json: bool) -> int:
    if as_json:
        print_json(plan.as_json() | {"dry_run": False, "job": None, "planned": 0, "done": 0, "remaining": 0})
    else:
        print_plan(plan)
    return 0 if plan.whole else 1


def print_plan(plan: Plan, *, kms_calls: int | None = None, err: bool = False) -> None:
    print_line(f"{plan.verb.words}: {plan.selection}", err=err)
    print_line(f"to {plan.target_name}  {plan.target_key_arn}", err=err)
    for line in plan_lines(plan, kms_calls, most=None):
        print_styled(line, err=err)


def print_result(result: RunResult) -> None:
    for line in stop_lines(result):
        say(plain(line))
    for line in result_lines(result, most=None):
        print_styled(line)

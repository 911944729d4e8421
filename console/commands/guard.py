"""keydeck guard."""

from __future__ import annotations

from collections.abc import Sequence

import click

from console.commands.operation_command import OperationCommand
from console.commands.output_options import json_option
from console.commands.questions import carry_out
from console.commands.session import services_of
from console.printed.output import (
    print_answer,
    print_gaps,
    print_json,
    print_line,
    print_table,
    say_unjournaled,
)
from crypto_core.database.column_guards.model import GuardState
from crypto_core.database.column_guards.plan import GuardPlan, GuardRequest, GuardResult, script
from crypto_core.database.column_guards.service import SurveyedColumn
from crypto_core.envelope import ENVELOPE_FORMATS, Format
from crypto_core.values.counts import counted

NOTHING = "Already in this state; nothing to do."


@click.command(cls=OperationCommand, operation="guard")
@click.argument("columns", nargs=-1, metavar="[COLUMN]...")
@click.option("--status", "status", is_flag=True, help="Show each column's guard; this is the default.")
@click.option("--sql", "sql", is_flag=True, help="Print the statements for the tables' owner; run nothing.")
@click.option("--apply", "apply", is_flag=True, help="Add the constraints, and validate them.")
@click.option("--remove", "remove", is_flag=True, help="Drop the constraints; with --sql, print that.")
@click.option(
    "--least",
    type=click.Choice([f.value for f in ENVELOPE_FORMATS]),
    default=Format.V1.value,
    show_default=True,
    help="The oldest envelope format that may be written.",
)
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Guard columns too where that may stop the platform from writing.",
)
@json_option
def guard(
    *,
    columns: tuple[str, ...],
    status: bool,
    sql: bool,
    apply: bool,
    remove: bool,
    least: str,
    everything: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> int:
    """Have the database refuse whatever is no envelope in token columns, by CHECK constraints.

    Without COLUMN (such as gh_connection.access_token) it is about every token column. --status exits with 1
    unless each has a guard that is validated.
    """
    if status + apply + (sql or remove) > 1:
        raise click.UsageError("Choose --status, --sql, --apply or --remove.")
    request = GuardRequest(remove, Format(least), columns, everything)
    with services_of() as services:
        work = services.tokens.column_guards
        if sql:
            plan = work.draft_plan(request)
            _print_script(plan, as_json=as_json)
            return 0
        if not apply and not remove:
            surveyed = work.survey(request.least, columns)
            gaps = services.services.status.unseen()
            return _print_status(surveyed, gaps, request.least, as_json=as_json)
        plan = work.plan_guard(request)
        result = carry_out(
            plan,
            _print_plan,
            work.change_guards,
            dry_run=dry_run or not plan.steps,
            yes=yes,
            as_json=as_json,
            about="This changes the constraints of tables.",
            typed="the number of columns",
        )
    if result is not None:
        print_answer(result, _print_result, as_json=as_json)
        if result.unjournaled or not result.done:
            return 3
    return 1 if plan.left_out else 0


def _print_plan(plan: GuardPlan, *, err: bool = False) -> None:
    print_line(f"{plan.summary}." if plan.steps else NOTHING, err=err)
    for step in plan.steps:
        print_line(f"● {step.sentence}", err=err)
        if step.risk:
            print_line(f"  ▲ {step.risk}", err=err)
    for left in plan.left_out:
        print_line(f"○ Left out: {left.column}. {left.reason}", err=err)
    for warning in plan.warnings:
        print_line(f"▲ {warning}", err=err)


def _print_result(result: GuardResult) -> None:
    for outcome in result.outcomes:
        state = outcome.state.value if outcome.state else "not known"
        print_line(f"{'✖' if outcome.why else '●'} {outcome.column}: {state}. {outcome.why}".rstrip())
    say_unjournaled(result.unjournaled)


def _print_script(plan: GuardPlan, *, as_json: bool) -> None:
    lines = list(script(plan.steps, plan.request.least))
    if as_json:
        print_json(plan.as_json() | {"sql": lines})
        return
    print_line(
        f"-- {plan.summary}. Each transaction waits for a lock for 2 s at most: run it again if it fails."
    )
    for line in lines:
        click.echo(line)
    for left in plan.left_out:
        print_line(f"-- Left out: {left.column}. {left.reason}")
    for warning in plan.warnings:
        print_line(f"-- {warning}")


def _print_status(
    surveyed: Sequence[SurveyedColumn], gaps: Sequence[str], least: Format, *, as_json: bool
) -> int:
    guarded = [one for one in surveyed if one.guard.state is GuardState.VALIDATED]
    if as_json:
        told = [
            one.guard.as_json()
            | {"would_refuse": one.stored.refused if one.stored else None, "risk": one.risk}
            for one in surveyed
        ]
        print_json({"least": least.value, "columns": told, "not_covered": list(gaps)})
    else:
        print_table(
            ("column", "guard", "least", f"no {least} at least", "owner"),
            [
                (
                    str(one.guard.column),
                    one.guard.state.value,
                    one.guard.least.value if one.guard.least else "-",
                    one.stored.refused if one.stored else "-",
                    one.guard.owner,
                )
                for one in surveyed
            ],
        )
        for one in surveyed:
            if one.guard.obstacle or (one.risk and one not in guarded):
                print_line(f"▲ {one.guard.column}: {one.guard.obstacle or one.risk}")
        print_gaps(gaps)
        print_line(f"{len(guarded)} of {counted(len(surveyed), 'token column')} guarded and validated.")
    return 0 if surveyed and len(guarded) == len(surveyed) and not gaps else 1

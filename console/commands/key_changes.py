"""keydeck keys rotate, disable, put-policy, …: a change is shown, confirmed, made and read back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from console.commands.key_policy import policy_text
from console.commands.operation_command import OperationCommand
from console.commands.output_options import json_option, rows_option
from console.commands.questions import consent_to
from console.commands.session import services_of
from console.completion.offers import key_names
from console.printed.forms import Form
from console.printed.lists import Printout, print_listing
from console.printed.output import print_answer, print_line, print_styled, say, say_unjournaled
from crypto_core.guard.consent import Consent
from crypto_core.keys.changes.change import ARGUMENTS, DEFAULT_WINDOW_DAYS, ChangeKind, KeyChange
from crypto_core.keys.changes.plan import ChangePlan, ChangeResult
from crypto_core.keys.grants import read_grants
from crypto_core.keys.policy.actions import in_words
from crypto_core.keys.policy.least_privilege import Role
from screens.key_changes.change_words import effect_facts, outcome_lines, plan_lines

_KEY = click.Argument(["key"], shell_complete=key_names)
_LOSE_TOKENS = click.Option(
    ["--lose-tokens"],
    metavar="N",
    help="Do it although N tokens can't be opened afterwards; \"uncounted\" where they can't be counted.",
)
_TAKES: Mapping[ChangeKind, tuple[click.Parameter, ...]] = {
    ChangeKind.ENABLE_ROTATION: (
        _KEY,
        click.Option(
            ["--period", "period_days"], type=int, metavar="DAYS", help="90 to 2560 [what it was, or 365]."
        ),
    ),
    ChangeKind.POINT_ALIAS: (click.Argument(["alias"], metavar="NAME"), _KEY),
    ChangeKind.DISABLE: (_KEY, _LOSE_TOKENS),
    ChangeKind.SCHEDULE_DELETION: (
        _KEY,
        click.Option(
            ["--days", "window_days"],
            type=int,
            default=DEFAULT_WINDOW_DAYS,
            show_default=True,
            metavar="N",
            help="Days until KMS deletes it, 7 to 30.",
        ),
        _LOSE_TOKENS,
    ),
    ChangeKind.PUT_POLICY: (
        _KEY,
        click.Argument(["policy"], type=click.File("rb"), metavar="FILE"),
        click.Option(
            ["--accept-lockout"],
            is_flag=True,
            help="Also accept a policy that seems to lock you out. KMS checks that too.",
        ),
        _LOSE_TOKENS,
    ),
    ChangeKind.BLOCK: (
        _KEY,
        click.Argument(["principal"], metavar="ARN"),
        click.Option(
            ["--only-from"],
            multiple=True,
            metavar="ADDRESS",
            help=(
                "Refuse it only from elsewhere than this public address, network or VPC endpoint; repeat it. "
                "For the platform's own role, where its credentials were stolen."
            ),
        ),
        _LOSE_TOKENS,
    ),
    ChangeKind.UNBLOCK: (_KEY, click.Argument(["principal"], metavar="ARN")),
    ChangeKind.CREATE: (
        click.Option(
            ["--alias"], default="", metavar="NAME", help="An alias for the key; it must not be there yet."
        ),
        click.Option(
            ["--description"],
            default="",
            metavar="TEXT",
            help="Visible to everyone who may describe the key.",
        ),
        *(
            click.Option(
                [f"--{role}", role.value],
                multiple=True,
                metavar="ARN",
                help=f"An IAM role, user or account that is {role}; the policy gives it what that needs.",
            )
            for role in Role
        ),
        click.Option(
            ["--multi-region"], is_flag=True, help="A key that can be replicated; never changed later."
        ),
        click.Option(
            ["--rotation-period", "period_days"],
            type=int,
            metavar="DAYS",
            help="Let it rotate, every 90 to 2560 days.",
        ),
    ),
}
"""What the command of a change takes, where that is more than a key and its argument."""


def _takes(kind: ChangeKind) -> tuple[click.Parameter, ...]:
    """The parameters of a change's command, named as the fields of KeyChange."""
    argument = ARGUMENTS.get(kind)
    return _TAKES.get(kind) or (_KEY, *([click.Argument([argument.field])] if argument else []))


def _command(kind: ChangeKind) -> click.Command:
    """The command that makes a change of one kind: its help is the operation's."""

    def run(*, dry_run: bool, yes: bool, as_json: bool, lose_tokens: str | None = None, **taken: Any) -> int:
        if kind is ChangeKind.PUT_POLICY:
            taken["policy"] = policy_text(taken["policy"])
        if kind is ChangeKind.CREATE:
            roles = {role: taken.pop(role.value) for role in Role}
            taken["principals"] = {role: arns for role, arns in roles.items() if arns}
        change = KeyChange(kind, **taken)
        return _change(change, dry_run=dry_run, yes=yes, as_json=as_json, lose_tokens=lose_tokens)

    parameters = list(_takes(kind))
    return json_option(
        OperationCommand(kind.value, operation=kind.operation.name, params=parameters, callback=run)
    )


@click.command()
@click.argument("key", shell_complete=key_names)
@rows_option
def grants(*, key: str, form: Form) -> None:
    """List the grants on KEY."""
    with services_of() as services:
        state = services.services.keys.show(key)
        found = read_grants(services.kms, state.region, state.key_arn)
    if not found and form is Form.TABLE:
        click.echo(f"{state.name} has no grants.")
        return
    listing = Printout(
        name="grants",
        rows=found,
        headers=("grant", "name", "grantee", "may", "retired by", "created"),
        cells=lambda grant: (
            grant.grant_id,
            grant.name or "-",
            grant.grantee.name,
            in_words(grant.operations),
            grant.retiring.name if grant.retiring else "-",
            f"{grant.created_at:%Y-%m-%d}" if grant.created_at else "-",
        ),
        rest=lambda: {"key_arn": state.key_arn},
    )
    print_listing(listing, form)


COMMANDS: tuple[click.Command, ...] = (*map(_command, ChangeKind), grants)
"""The subcommands of `keydeck keys` that change something, and grants."""


def _change(
    change: KeyChange, *, dry_run: bool, yes: bool, as_json: bool, lose_tokens: str | None = None
) -> int:
    with services_of() as services:
        work = services.services.key_changes
        plan = work.plan_change(change)
        if dry_run:
            print_answer(plan, print_plan, as_json=as_json)
            return 1 if plan.refused_unless_typed else 0
        if not plan.changes_nothing:
            print_plan(plan, err=True)
        result = work.make_change(plan, _consent(plan, yes=yes, lose_tokens=lose_tokens))
    print_answer(result, print_result, as_json=as_json)
    if result.unjournaled or (result.stopped_by and not result.verified):
        return 3
    return 0 if result.verified else 1


def print_plan(plan: ChangePlan, *, err: bool = False) -> None:
    print_line(plan.title, err=err)
    for line in plan_lines(plan):
        print_styled(line, err=err)


def print_result(result: ChangeResult) -> None:
    """Print the outcome of a change on stdout; what stopped it and what remains to do, on stderr."""
    unfinished = ": not finished" if result.stopped_by and not result.verified else ""
    print_line(f"{result.plan.title}{unfinished}")
    if result.stopped_by:
        say(f"{'Note' if result.verified else 'Stopped'}: {result.stopped_by}")
    for line in (*outcome_lines(result), *effect_facts(result)):
        print_styled(line)
    for step in result.next_steps:
        say(step)
    say_unjournaled(result.unjournaled)


def _consent(plan: ChangePlan, *, yes: bool, lose_tokens: str | None) -> Consent:
    """Ask as the plan's danger demands; returns what the operator agreed to. Raises Abort."""
    if yes and plan.refused_unless_typed and lose_tokens is not None:
        return Consent.typed(plan, lose_tokens)
    what = "the number of tokens that will be lost" if plan.refused_unless_typed else "the name"
    return consent_to(plan, f"{plan.title}?", yes=yes, about="This changes a key.", typed=what)

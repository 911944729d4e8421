"""keydeck keys rotate, disable, put-policy, …: a change is shown, agreed to, made, and its effect told."""

from __future__ import annotations

from collections.abc import Callable
from typing import IO, Any, TypeVar

import click

from console.commands.asking import consent_to, yes_option
from console.commands.key_policy import policy_text, principal_options
from console.commands.session import json_option, services_of
from console.printed.printing import print_json, print_line, print_table, say
from crypto_core.guard.consent import Consent
from crypto_core.keys.changes.change import (
    DEFAULT_WINDOW_DAYS,
    ChangeKind,
    KeyChange,
)
from crypto_core.keys.changes.plan import ChangePlan, ChangeResult
from crypto_core.keys.grants import read_grants
from crypto_core.keys.policy.actions import in_words
from crypto_core.keys.policy.least_privilege import Role
from screens.keys.change_words import effect_facts, outcome_lines, plan_lines
from screens.styled import plain

_Command = TypeVar("_Command", bound=Callable[..., Any])

_lose_tokens = click.option(
    "--lose-tokens",
    metavar="N",
    help="Do it though N tokens can't be opened then; \"uncounted\" where they can't be counted.",
)


def _change_options(command: _Command) -> _Command:
    """What every change has: --dry-run, --yes, --json."""
    for option in (
        json_option,
        yes_option,
        click.option("--dry-run", is_flag=True, help="Say what would happen; change nothing."),
    ):
        command = option(command)
    return command


@click.command("enable-rotation")
@click.argument("key")
@click.option("--period", "period_days", type=int, metavar="DAYS", help="90 to 2560 [what it was, or 365].")
@_change_options
def enable_rotation(*, key: str, period_days: int | None, **how: Any) -> int:
    """Let KMS rotate KEY by itself, and set the period. Re-encrypts nothing."""
    return _change(KeyChange(ChangeKind.ENABLE_ROTATION, key, period_days=period_days), **how)


@click.command("disable-rotation")
@click.argument("key")
@_change_options
def disable_rotation(*, key: str, **how: Any) -> int:
    """Stop KMS from rotating KEY by itself."""
    return _change(KeyChange(ChangeKind.DISABLE_ROTATION, key), **how)


@click.command()
@click.argument("key")
@_change_options
def rotate(*, key: str, **how: Any) -> int:
    """Rotate KEY now: one of the 25 rotations on demand of its life. Re-encrypts nothing."""
    return _change(KeyChange(ChangeKind.ROTATE, key), **how)


@click.command()
@click.option("--alias", default="", metavar="NAME", help="An alias for the key; it must not be there yet.")
@click.option("--description", default="", metavar="TEXT", help="Shown to whoever may look at the key.")
@principal_options("An IAM role, user or account that is {role}; the policy gives it what that needs.")
@click.option("--multi-region", is_flag=True, help="A key that can be replicated; never changed later.")
@click.option(
    "--rotation-period", "period_days", type=int, metavar="DAYS", help="Let it rotate, every 90 to 2560 days."
)
@_change_options
def create(
    *,
    alias: str,
    description: str,
    multi_region: bool,
    period_days: int | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    **roles: tuple[str, ...],
) -> int:
    """Make a key whose policy gives each role the least it needs."""
    change = KeyChange(
        ChangeKind.CREATE,
        alias=alias,
        description=description,
        multi_region=multi_region,
        period_days=period_days,
        principals={Role(name): arns for name, arns in roles.items() if arns},
    )
    return _change(change, dry_run=dry_run, yes=yes, as_json=as_json)


@click.command()
@click.argument("name")
@click.argument("key")
@_change_options
def alias(*, name: str, key: str, **how: Any) -> int:
    """Point the alias NAME at KEY; makes the alias if there is none."""
    return _change(KeyChange(ChangeKind.POINT_ALIAS, key, alias=name), **how)


@click.command()
@click.argument("key")
@_change_options
def enable(*, key: str, **how: Any) -> int:
    """Enable KEY."""
    return _change(KeyChange(ChangeKind.ENABLE, key), **how)


@click.command()
@click.argument("key")
@_lose_tokens
@_change_options
def disable(*, key: str, lose_tokens: str | None, **how: Any) -> int:
    """Disable KEY. Refused while there are tokens under it."""
    return _change(KeyChange(ChangeKind.DISABLE, key), lose_tokens=lose_tokens, **how)


@click.command("schedule-deletion")
@click.argument("key")
@click.option(
    "--days",
    "window_days",
    type=int,
    default=DEFAULT_WINDOW_DAYS,
    show_default=True,
    metavar="N",
    help="Days until KMS deletes it, 7 to 30.",
)
@_lose_tokens
@_change_options
def schedule_deletion(*, key: str, window_days: int, lose_tokens: str | None, **how: Any) -> int:
    """Have KMS delete KEY. Refused while there are tokens under it."""
    change = KeyChange(ChangeKind.SCHEDULE_DELETION, key, window_days=window_days)
    return _change(change, lose_tokens=lose_tokens, **how)


@click.command("cancel-deletion")
@click.argument("key")
@_change_options
def cancel_deletion(*, key: str, **how: Any) -> int:
    """Cancel the deletion of KEY. It stays disabled until it is enabled."""
    return _change(KeyChange(ChangeKind.CANCEL_DELETION, key), **how)


@click.command("put-policy")
@click.argument("key")
@click.argument("file", type=click.File("rb"))
@click.option(
    "--accept-lockout",
    is_flag=True,
    help="Also a policy with which you seem unable to put another one. KMS checks that too.",
)
@_change_options
def put_policy(*, key: str, file: IO[bytes], accept_lockout: bool, **how: Any) -> int:
    """Replace the policy of KEY by the one in FILE (- is stdin), after showing what that changes."""
    change = KeyChange(ChangeKind.PUT_POLICY, key, policy=policy_text(file), accept_lockout=accept_lockout)
    return _change(change, **how)


@click.command()
@click.argument("key")
@json_option
def grants(*, key: str, as_json: bool) -> None:
    """List the grants on KEY."""
    with services_of() as services:
        state = services.services.keys.show(key)
        found = read_grants(services.kms, state.region, state.key_arn)
    if as_json:
        print_json({"key_arn": state.key_arn, "grants": [grant.as_json() for grant in found]})
        return
    if not found:
        click.echo(f"{state.name} has no grants.")
        return
    rows = [
        (
            grant.grant_id,
            grant.name or "-",
            grant.grantee.name,
            in_words(grant.operations),
            grant.retiring.name if grant.retiring else "-",
            f"{grant.created_at:%Y-%m-%d}" if grant.created_at else "-",
        )
        for grant in found
    ]
    print_table(("grant", "name", "grantee", "may", "retired by", "created"), rows)


@click.command("revoke-grant")
@click.argument("key")
@click.argument("grant_id")
@_change_options
def revoke_grant(*, key: str, grant_id: str, **how: Any) -> int:
    """Revoke a grant on KEY: what it allows is refused from then on."""
    return _change(KeyChange(ChangeKind.REVOKE_GRANT, key, grant_id=grant_id), **how)


@click.command("retire-grant")
@click.argument("key")
@click.argument("grant_id")
@_change_options
def retire_grant(*, key: str, grant_id: str, **how: Any) -> int:
    """Retire a grant on KEY that nobody needs any more."""
    return _change(KeyChange(ChangeKind.RETIRE_GRANT, key, grant_id=grant_id), **how)


@click.command()
@click.argument("key")
@click.argument("region")
@_change_options
def replicate(*, key: str, region: str, **how: Any) -> int:
    """Make a replica of the multi-Region key KEY in REGION."""
    return _change(KeyChange(ChangeKind.REPLICATE, key, region=region), **how)


COMMANDS: tuple[click.Command, ...] = (
    enable_rotation,
    disable_rotation,
    rotate,
    create,
    alias,
    enable,
    disable,
    schedule_deletion,
    cancel_deletion,
    put_policy,
    grants,
    revoke_grant,
    retire_grant,
    replicate,
)
"""The subcommands of `keydeck keys` that change something, and grants."""


def _change(
    change: KeyChange,
    *,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    lose_tokens: str | None = None,
) -> int:
    with services_of() as services:
        work = services.services.key_changes
        plan = work.plan_change(change)
        if dry_run:
            _show(plan, as_json=as_json)
            return 1 if plan.refused_unless_typed else 0
        if not plan.changes_nothing:
            print_plan(plan, err=True)
        result = work.make_change(plan, _consent(plan, yes=yes, lose_tokens=lose_tokens))
    if as_json:
        print_json(result.as_json())
    else:
        print_result(result)
    if result.unjournaled or (result.stopped_by and not result.verified):
        return 3
    return 0 if result.verified else 1


def _show(plan: ChangePlan, *, as_json: bool) -> None:
    if as_json:
        print_json(plan.as_json())
    else:
        print_plan(plan)


def print_plan(plan: ChangePlan, *, err: bool = False) -> None:
    """Print what a change would do."""
    print_line(plan.title, err=err)
    for line in plan_lines(plan):
        print_line(plain(line), err=err)


def print_result(result: ChangeResult) -> None:
    """Print what became of a change."""
    unfinished = ": not finished" if result.stopped_by and not result.verified else ""
    print_line(f"{result.plan.title}{unfinished}")
    for line in (*outcome_lines(result), *effect_facts(result)):
        print_line(plain(line))
    for step in result.next_steps:
        say(step)
    if result.unjournaled:
        say(f"The end is not in the journal: {result.unjournaled}")


def _consent(plan: ChangePlan, *, yes: bool, lose_tokens: str | None) -> Consent:
    """Ask as the plan's danger demands; returns what the operator agreed to. Raises Abort."""
    if yes and plan.refused_unless_typed and lose_tokens is not None:
        return Consent.typed(plan, lose_tokens)
    what = "the number of tokens that will be lost" if plan.refused_unless_typed else "the name"
    return consent_to(plan, f"{plan.title}?", yes=yes, about="This changes a key.", typed=what)

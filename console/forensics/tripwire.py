"""keydeck tripwire."""

from __future__ import annotations

from collections.abc import Sequence

import click

from console.commands.operation_command import OperationCommand
from console.commands.output_options import json_option
from console.commands.questions import carry_out
from console.commands.session import services_of
from console.forensics.services import ForensicsServices
from console.printed.output import print_json, print_line, print_table, say_unjournaled
from crypto_core.envelope import ENVELOPE_FORMATS
from crypto_core.forensics.tripwires.plan import (
    AddPlan,
    AddRequest,
    RemovePlan,
    ResealPlan,
    TripwireResult,
    TripwireState,
)
from crypto_core.values.counts import counted
from crypto_core.values.moments import in_utc

_ABOUT = "This changes rows of the platform's tables."


@click.group()
def tripwire() -> None:
    """Decoys: connections that nobody legitimate opens. Whoever opens one is a critical finding."""


@tripwire.command("add", cls=OperationCommand, operation="tripwire add")
@click.option("--table", required=True, metavar="TABLE", help="The table, such as gh_connection.")
@click.option("--count", type=int, default=1, show_default=True, help="How many rows.")
@click.option("--key", default="", metavar="KEY", help="The KMS key to seal them under.")
@click.option("--new-key", "new_key", is_flag=True, help="Make a key of their own.")
@click.option(
    "--format",
    "format_",
    type=click.Choice([f.value for f in ENVELOPE_FORMATS]),
    help="The envelope format; as most rows have it.",
)
@click.option("--set", "given", multiple=True, metavar="COLUMN=VALUE", help="A column's value, in every row.")
@json_option
def add(
    *,
    table: str,
    count: int,
    key: str,
    new_key: bool,
    format_: str | None,
    given: tuple[str, ...],
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> int:
    """Add decoys to a table: rows that look like the others, sealed so that CloudTrail tells who opens one.

    A v1 decoy takes a key of its own (--new-key, or --key for one without tokens). A v2 decoy is told by its
    row, so it may be under the key that is written under, which is the default.
    """
    pairs = tuple(_pair(one) for one in given)
    request = AddRequest(table, count, key, new_key, format_ or "", pairs)
    with services_of() as services:
        work = services.of(ForensicsServices).tripwires
        plan = work.plan_add(request)
        made = carry_out(plan, _print_add, work.add, dry_run=dry_run, yes=yes, as_json=as_json, about=_ABOUT)
    return _print_result(made, as_json=as_json)


@tripwire.command("list")
@json_option
def list_(*, as_json: bool) -> int:
    """List the tripwires and their decoys; exit 1 unless every decoy is as it was made."""
    with services_of() as services:
        states = services.of(ForensicsServices).tripwires.states()
        key = services.of(ForensicsServices).tripwires.list_key()
    if as_json:
        print_json({"tripwires": [state.as_json() for state in states], "list_key": key or None})
    elif not states:
        print_line("There is no tripwire. Add one with: keydeck tripwire add --table TABLE --new-key.")
    else:
        _print_states(states)
        print_line(f"The list is sealed under {key}.")
    return 0 if all(state.stands for state in states) else 1


@tripwire.command("remove", cls=OperationCommand, operation="tripwire remove")
@click.argument("number", type=int)
@json_option
def remove(*, number: int, dry_run: bool, yes: bool, as_json: bool) -> int:
    """Remove a tripwire: its rows, if they are as they were made, and its entry in the list.

    The key is kept, as old copies of the database still hold the decoys.
    """
    with services_of() as services:
        work = services.of(ForensicsServices).tripwires
        plan = work.plan_remove(number)
        made = carry_out(
            plan, _print_remove, work.remove, dry_run=dry_run, yes=yes, as_json=as_json, about=_ABOUT
        )
    if made is None and plan.changed:
        return 1
    return _print_result(made, as_json=as_json)


@tripwire.command("reseal", cls=OperationCommand, operation="tripwire reseal")
@json_option
def reseal(*, dry_run: bool, yes: bool, as_json: bool) -> int:
    """Seal the list of tripwires anew under the key that is written under, as after a change of keys."""
    with services_of() as services:
        work = services.of(ForensicsServices).tripwires
        plan, about = work.plan_reseal(), "This changes the list of tripwires."
        made = carry_out(
            plan, _print_reseal, work.reseal, dry_run=dry_run, yes=yes, as_json=as_json, about=about
        )
    return _print_result(made, as_json=as_json)


def _print_add(plan: AddPlan, *, err: bool = False) -> None:
    print_line(f"{plan.summary}.", err=err)
    print_line(f"● Sealed as {plan.format} under {plan.key_words}.", err=err)
    for name, said in plan.columns.items():
        print_line(f"  {name}: {said}", err=err)
    _print_warnings(plan.warnings, err=err)


def _print_remove(plan: RemovePlan, *, err: bool = False) -> None:
    print_line(f"{plan.summary}.", err=err)
    for ref in plan.refs:
        print_line(f"● Deletes the row of {ref}", err=err)
    if plan.gone:
        print_line(f"○ {counted(plan.gone, 'row')} not there any more", err=err)
    for ref in plan.changed:
        print_line(f"✖ {ref} is not as it was made: nothing is removed", err=err)
    _print_warnings(plan.warnings, err=err)


def _print_reseal(plan: ResealPlan, *, err: bool = False) -> None:
    print_line(f"{plan.summary}: {plan.key}.", err=err)
    _print_warnings(plan.warnings, err=err)


def _print_warnings(warnings: Sequence[str], *, err: bool) -> None:
    for warning in warnings:
        print_line(f"▲ {warning}", err=err)


def _print_states(states: Sequence[TripwireState]) -> None:
    print_table(
        ("tripwire", "made", "table", "format", "decoys", "stand", "key"),
        [
            (
                s.number,
                in_utc(s.made_at),
                s.table,
                s.format.value,
                len(s.refs),
                len(s.refs) - len(s.gone),
                s.key_arn,
            )
            for s in states
        ],
    )
    for state in states:
        for ref in state.refs:
            told = "gone, or changed since" if ref in state.gone else "as it was made"
            print_line(f"{'✖' if ref in state.gone else '●'} {state.number}: {ref}, {told}")
        if state.gone:
            print_line(f"  Take the entry away with: keydeck tripwire remove {state.number}")


def _print_result(result: TripwireResult | None, *, as_json: bool) -> int:
    if result is None:
        return 0
    if as_json:
        print_json(result.as_json())
    elif result.state is not None:
        _print_states([result.state])
    else:
        print_line("Done and verified.")
    say_unjournaled(result.unjournaled)
    return 3 if result.unjournaled else 0


def _pair(one: str) -> tuple[str, str]:
    name, parted, value = one.partition("=")
    if not parted or not name:
        raise click.UsageError("Write --set COLUMN=VALUE.")
    return name, value

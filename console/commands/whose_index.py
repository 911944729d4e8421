"""keydeck whose index: fill the index of tokens, look at it, drop it."""

from __future__ import annotations

from typing import Any

import click

from console.commands.asking import consent_to
from console.commands.operation_command import OperationCommand
from console.commands.output_options import json_option, rows_option
from console.commands.session import limit_option, services_of, trust_option
from console.host.interrupts import cancelled_by_interrupt
from console.printed.forms import Form
from console.printed.listing import Listing, print_listing
from console.printed.printing import meter, print_facts, print_gaps, print_json, say, utc
from crypto_core.reencryption.token_search.index_plan import IndexFilling, IndexStatus
from crypto_core.text.counting import counted, listed

NO_ARGUMENT = (
    "A token that was typed here is in the shell's history, and was in the list of processes: have it issued "
    "again. Enter one when asked, or name a file with --file."
)


class TokenlessGroup(click.Group):
    """Refuses what is none of its commands without a word of it."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and self.get_command(ctx, args[0]) is None:
            raise click.UsageError(f"{ctx.command_path} takes no argument. {NO_ARGUMENT}", ctx)
        return super().resolve_command(ctx, args)


_SHOWN_ROWS = 20


@click.group(cls=TokenlessGroup)
def index() -> None:
    """The index of tokens: with it nothing that it knows is opened to find a token's rows.

    It is an opt-in (KEYDECK_TOKEN_INDEX=1). It holds no token, only HMACs under a key that KMS wraps.
    """


@index.command(cls=OperationCommand, operation="whose index build")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Open at most so many, this time.")
@trust_option
@json_option
def build(*, limit: int | None, trust: tuple[str, ...], dry_run: bool, yes: bool, as_json: bool) -> int:
    """Open what the index doesn't know yet and note it; go on where it ended. Exit 1 if some didn't open."""
    with services_of(trust=trust) as services:
        plan = services.token_index.plan_build(limit)
        filled = IndexFilling(0, 0, 0)
        if not dry_run:
            say(f"{plan.summary}.")
            consent = consent_to(plan, yes=yes, about="Each envelope is opened by KMS, and none is changed.")
            with (
                cancelled_by_interrupt("Stopping; what is noted stays.") as cancelled,
                meter("index") as shown,
            ):
                filled = services.token_index.build(plan, consent, progress=shown.update, cancelled=cancelled)
    if as_json:
        print_json({"dry_run": dry_run} | plan.as_json() | filled.as_json())
    elif dry_run:
        click.echo(f"{plan.summary}.")
    else:
        forgotten = f", {filled.forgotten:,} stale ones forgotten" if filled.forgotten else ""
        click.echo(f"{counted(filled.noted, 'token')} noted, {filled.unopened:,} did not open{forgotten}.")
    if filled.interrupted:
        return 130
    return 1 if filled.unopened else 0


@index.command()
@json_option
def status(*, as_json: bool) -> int:
    """Say what the index knows. Exit 1 if it is off, or doesn't know every envelope."""
    with services_of() as services, cancelled_by_interrupt("Stopping.") as cancelled:
        found = services.token_index.status(cancelled=cancelled)
    if as_json:
        print_json(found.as_json())
    else:
        _print(found)
    return 0 if found.coverage.complete and not found.why_off else 1


def _print(found: IndexStatus) -> None:
    used = "yes" if not found.why_off else f"no: {found.why_off}"
    print_facts(
        [
            ("used", used),
            ("known", f"{found.covered:,} of {counted(found.envelopes, 'envelope')}"),
            ("fingerprints", f"{found.entries:,}"),
            ("KMS key", found.key_arn or "none"),
            ("since", f"{utc(found.made_at)} UTC" if found.made_at is not None else "never"),
            ("shared", f"{counted(found.shared, 'token')} in more than one row"),
        ]
    )
    print_gaps(found.coverage.reasons)


@index.command()
@limit_option(1_000, "Print at most so many.")
@rows_option
def duplicates(*, limit: int, form: Form) -> int:
    """List tokens that several rows hold, as far as the index knows. Nothing is opened."""
    with services_of() as services:
        found = services.token_index.shared_tokens(limit=limit)
    listing = Listing(
        name="tokens",
        rows=found,
        headers=("rows", "references"),
        cells=lambda one: (
            len(one.references),
            listed([str(ref) for ref in one.references], _SHOWN_ROWS),
        ),
    )
    if found or form is not Form.TABLE:
        print_listing(listing, form)
    else:
        say("No token is in more than one row, as far as the index knows: keydeck whose index status.")
    return 0


@index.command(cls=OperationCommand, operation="whose index drop")
@json_option
def drop(*, dry_run: bool, yes: bool, as_json: bool) -> int:
    """Forget the index and its key; searches open what is stored again."""
    with services_of() as services:
        plan = services.token_index.plan_drop()
        dropped = 0
        if not dry_run:
            consent = consent_to(plan, yes=yes, about=f"{plan.summary}.")
            dropped = services.token_index.drop(plan, consent)
    if as_json:
        print_json({"dry_run": dry_run} | plan.as_json() | {"dropped": dropped})
    else:
        click.echo(
            f"{counted(plan.envelopes if dry_run else dropped, 'fingerprint')} "
            f"{'kept' if dry_run else 'forgotten'}."
        )
    return 0

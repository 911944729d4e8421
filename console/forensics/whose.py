"""keydeck whose: which rows hold a token that somebody has."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from console.commands.operation_command import OperationCommand
from console.commands.output_options import json_option, rows_option
from console.commands.questions import consent_to, read_stdin
from console.commands.session import limit_option, services_of, trust_option
from console.forensics.services import ForensicsServices
from console.host.interrupts import cancelled_by_interrupt
from console.printed.forms import Form
from console.printed.lists import Printout, print_listing
from console.printed.output import meter, print_facts, print_gaps, print_json, print_line, say, utc
from crypto_core.forensics.token_search.index_plan import IndexFilling, IndexStatus
from crypto_core.forensics.token_search.leak_reader import LeakedTokens, read_leak
from crypto_core.forensics.token_search.result import TokenSearchResult
from crypto_core.forensics.token_search.target_tokens import wipe
from crypto_core.incidents.model import IncidentScope
from crypto_core.lists.own_file import read_secret_file
from crypto_core.values.counts import counted, listed
from crypto_core.values.errors import RefusedError
from crypto_core.values.references import SHORT
from crypto_core.values.secret import Secret

if TYPE_CHECKING:
    from console.container import Container

MOST_BYTES = 64_000_000
RUNBOOK = "token-compromise"
_SHOWN_ROWS = 20
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


@click.group(cls=TokenlessGroup, invoke_without_command=True)
@click.option(
    "--file",
    "path",
    metavar="FILE",
    help="What leaked, in a file that only you may read: a list, CSV, a log, a report; - is stdin.",
)
@click.option("--everywhere", is_flag=True, help="Look at rows of other providers and at all lengths, too.")
@click.option("--declare", is_flag=True, help="Declare a token compromise about the rows that hold them.")
@click.option("--title", default="", metavar="TEXT", help="With --declare: the incident's title.")
@trust_option
@json_option
@click.pass_context
def whose(
    ctx: click.Context,
    *,
    path: str | None,
    everywhere: bool,
    declare: bool,
    title: str,
    trust: tuple[str, ...],
    as_json: bool,
) -> int | None:
    """Name the rows that hold a token, or one by the hashed_token of GitHub's audit log.

    It is asked for, unseen, or read from stdin or a file; never an argument. What is stored is opened and
    compared; nothing changes. Exit 0 if every token was found, or proved to be in no row; 1 if one was not
    found and something could not be compared, or if the text may hold tokens that were not recognised.
    """
    if ctx.invoked_subcommand is not None:
        return None
    if title and not declare:
        raise click.UsageError("--title is the title of an incident: give --declare too.")
    with _entered(path) as text:
        leak = read_leak(text)
    with services_of(trust=trust) as services:
        found = _search(services, leak, everywhere=everywhere)
        incident = _declare(services, leak, found, title) if declare and found.references else None
    if as_json:
        told = _document(leak, found)
        print_json(told | ({"incident": incident and incident["incident"]} if declare else {}))
    else:
        _print(leak, found)
    if declare and incident is None:
        say("No incident was declared: no row holds one of them.")
    if declare and not found.references:
        return 1
    return 0 if found.certain else 1


def _entered(path: str | None) -> Secret:
    if path is not None and path != "-":
        if "/" not in path and len(path) > SHORT and not os.path.lexists(path):
            # It may be the token itself.
            raise RefusedError("There is no such file.", remedy=NO_ARGUMENT)
        return read_secret_file(path, most=MOST_BYTES)
    if path is None and sys.stdin.isatty():
        return Secret.of(click.prompt("The token, or its hashed_token", hide_input=True, err=True))
    return read_stdin(MOST_BYTES)


def _search(services: Container, leak: LeakedTokens, *, everywhere: bool) -> TokenSearchResult:
    try:
        with cancelled_by_interrupt("Stopping.") as cancelled, meter("search") as shown:
            return services.of(ForensicsServices).token_search.find_rows(
                leak.wanted,
                unread=leak.unread,
                everywhere=everywhere,
                progress=shown.update,
                cancelled=cancelled,
            )
    finally:
        wipe(leak.wanted)


def _declare(services: Container, leak: LeakedTokens, found: TokenSearchResult, title: str) -> dict[str, Any]:
    """Declare the incident as `keydeck incident start` does; returns its document."""
    from console.commands.incident_scope import completed_scope

    work = services.services.incidents
    given = IncidentScope(
        references=tuple(map(str, found.references)),
        origin="the command line",
        found_by=leak.found_by(found.summary),
    )
    number = work.declare(RUNBOOK, completed_scope(services, RUNBOOK, given), title)
    view = work.show(number)
    say(f"{view.incident.name} is declared. Continue with: keydeck incident next {number}")
    return view.as_json()


def _document(leak: LeakedTokens, found: TokenSearchResult) -> dict[str, Any]:
    held = len(found.rows) - len(found.missing)
    return found.as_json() | {"held": held, "lines_without_token": leak.silent_lines}


def _print(leak: LeakedTokens, found: TokenSearchResult) -> None:
    for line in found.lines:
        print_line(line)
    if leak.remark:
        say(leak.remark)
    if not found.certain:
        say("The answer is not complete: a token may be in what could not be read or compared.")


@whose.group(cls=TokenlessGroup)
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
        plan = services.of(ForensicsServices).token_index.plan_build(limit)
        filled = IndexFilling(0, 0, 0)
        say(" ".join((f"{plan.summary}.", *plan.warnings)))
        if not dry_run:
            consent = consent_to(plan, yes=yes, about="Each envelope is opened by KMS, and none is changed.")
            with (
                cancelled_by_interrupt("Stopping; what is noted stays.") as cancelled,
                meter("index") as shown,
            ):
                filled = services.of(ForensicsServices).token_index.build(
                    plan, consent, progress=shown.update, cancelled=cancelled
                )
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
        found = services.of(ForensicsServices).token_index.status(cancelled=cancelled)
    if as_json:
        print_json(found.as_json())
    else:
        _print_status(found)
    return 0 if found.coverage.complete and not found.why_off else 1


def _print_status(found: IndexStatus) -> None:
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
        found = services.of(ForensicsServices).token_index.shared_tokens(limit=limit)
    listing = Printout(
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
        plan = services.of(ForensicsServices).token_index.plan_drop()
        dropped = 0
        for warning in plan.warnings:
            say(warning)
        if not dry_run:
            consent = consent_to(plan, yes=yes, about=f"{plan.summary}.")
            dropped = services.of(ForensicsServices).token_index.drop(plan, consent)
    if as_json:
        print_json({"dry_run": dry_run} | plan.as_json() | {"dropped": dropped})
    else:
        click.echo(
            f"{counted(plan.envelopes if dry_run else dropped, 'fingerprint')} "
            f"{'kept' if dry_run else 'forgotten'}."
        )
    return 0

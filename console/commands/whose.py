"""keydeck whose: which rows hold a token that somebody has."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from console.commands.incident_scope import completed_scope
from console.commands.output_options import json_option
from console.commands.session import services_of, trust_option
from console.commands.whose_index import NO_ARGUMENT, TokenlessGroup, index
from console.host.interrupts import cancelled_by_interrupt
from console.printed.printing import meter, print_json, print_line, say
from crypto_core.errors import RefusedError
from crypto_core.incidents.model import IncidentScope
from crypto_core.lists.secret_file import read_secret_file
from crypto_core.reencryption.token_search.leak_reading import LeakedTokens, read_leak
from crypto_core.reencryption.token_search.result import TokenSearchResult
from crypto_core.reencryption.token_search.wanted import wipe
from crypto_core.references import SHORT
from crypto_core.secret import Secret
from crypto_core.text.counting import counted
from screens.incidents.work import incident_work

if TYPE_CHECKING:
    from console.container import Container

MOST_BYTES = 64_000_000
"""Bytes of a file that tokens are looked for in."""
RUNBOOK = "token-compromise"


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
    found and something could not be compared.
    """
    if ctx.invoked_subcommand is not None:
        return None
    if title and not declare:
        raise click.UsageError("--title is the title of an incident: give --declare too.")
    leak = _leak(path)
    with services_of(trust=trust) as services:
        found = _search(services, leak, everywhere=everywhere)
        incident = _declare(services, found, title) if declare and found.references else None
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


def _leak(path: str | None) -> LeakedTokens:
    """The tokens that are looked for. Raises RefusedError, InvalidTokenError."""
    with _entered(path) as text:
        return read_leak(text)


def _entered(path: str | None) -> Secret:
    if path is not None and path != "-":
        if "/" not in path and len(path) > SHORT and not os.path.lexists(path):
            # It may be the token itself.
            raise RefusedError("There is no such file.", remedy=NO_ARGUMENT)
        return read_secret_file(path, most=MOST_BYTES)
    if path is None and sys.stdin.isatty():
        return Secret.of(click.prompt("The token, or its hashed_token", hide_input=True, err=True))
    content = bytearray(sys.stdin.buffer.read(MOST_BYTES + 1))
    secret = Secret.adopt(content)
    if len(secret) > MOST_BYTES:
        secret.wipe()
        raise RefusedError(f"The standard input has more than {MOST_BYTES:,} bytes.")
    return secret


def _search(services: Container, leak: LeakedTokens, *, everywhere: bool) -> TokenSearchResult:
    """Look for the rows; the tokens are wiped. Raises KmsError, DatabaseError, InterruptedRunError."""
    try:
        with cancelled_by_interrupt("Stopping.") as cancelled, meter("search") as shown:
            return services.token_search.find_rows(
                leak.wanted, everywhere=everywhere, progress=shown.update, cancelled=cancelled
            )
    finally:
        wipe(leak.wanted)


def _declare(services: Container, found: TokenSearchResult, title: str) -> dict[str, Any]:
    """Declare the incident as `keydeck incident start` does; returns its document."""
    work = incident_work(services)
    given = IncidentScope(
        references=tuple(map(str, found.references)),
        origin="the command line",
        found_by=f"a leaked token: {found.summary}",
    )
    number = work.declare(RUNBOOK, completed_scope(services, RUNBOOK, given), title)
    view = work.show(number)
    say(f"{view.incident.name} is declared. Continue with: keydeck incident next {number}")
    return view.as_json()


def _document(leak: LeakedTokens, found: TokenSearchResult) -> dict[str, Any]:
    silent = {} if leak.is_list else {"lines_without_token": leak.silent_lines}
    return found.as_json() | {"held": len(found.rows) - len(found.missing)} | silent


def _print(leak: LeakedTokens, found: TokenSearchResult) -> None:
    for line in found.lines:
        print_line(line)
    if leak.silent_lines and not leak.is_list:
        say(
            f"{counted(leak.silent_lines, 'line')} held nothing that begins like a provider's token. "
            "Others are recognised only where each line is one token."
        )
    if not found.certain:
        say("The answer is not complete: a token that was not found may be in what could not be compared.")


whose.add_command(index)

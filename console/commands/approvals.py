"""keydeck approvals: list, show, approve or deny requests that need a second person."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

import click

from console.commands.operation_command import OperationCommand
from console.commands.output_options import json_option, rows_option
from console.commands.questions import type_in, yes_option
from console.commands.session import limit_option, services_of
from console.printed.forms import Form
from console.printed.lists import Printout, print_listing
from console.printed.output import print_json, print_line, say, utc
from crypto_core.guard.approval_proof import DELIVERY
from crypto_core.guard.approvals import Approval, Decision
from crypto_core.values.clean_text import clean

_request = click.argument("request", type=click.UUID, metavar="ID")


@click.group()
def approvals() -> None:
    """Four eyes: requests that a second person has to approve.

    KEYDECK_APPROVALS says which actions need it. Running such an action makes a request.
    """


@approvals.command("list")
@click.option("--all", "all_", is_flag=True, help="Also decided, used and expired requests.")
@limit_option(200, "At most this many.")
@rows_option
def list_(*, all_: bool, limit: int, form: Form) -> None:
    """List what waits for approval, the newest first."""
    with services_of() as services:
        found = services.approvals.requests(pending=not all_, limit=limit)
    if found or form is not Form.TABLE:
        listing = Printout(
            name="approvals",
            rows=found,
            headers=("id", "action", "decision", "asked by", "until (UTC)", "what"),
            cells=lambda a: (
                str(a.id),
                a.action,
                a.decision.value if a.confirmed else f"{a.decision.value}, unconfirmed",
                a.requested_by,
                utc(a.expires_at),
                a.summary,
            ),
        )
        print_listing(listing, form)
    else:
        say("No approvals yet." if all_ else "No pending approvals.")


@approvals.command()
@_request
@json_option
def show(*, request: UUID, as_json: bool) -> None:
    """Show one request with its whole plan."""
    with services_of() as services:
        found = services.approvals.show(request)
        advisory = services.approvals.advisory
    if as_json:
        print_json(found.as_json() | {"plan": found.plan})
    else:
        _print(found)
    if advisory:
        say(advisory)


@approvals.command(cls=OperationCommand, operation="approvals approve")
@_request
@click.option("--digest", metavar="HEX", help="The request's digest, as approvals show printed it.")
@yes_option
@json_option
def approve(*, request: UUID, digest: str | None, yes: bool, as_json: bool) -> None:
    """Approve another person's request: this exact plan, once, before it expires.

    With --digest, a request that is not the one you read is refused.
    """
    _decide(request, approve=True, digest=digest, yes=yes, as_json=as_json)


@approvals.command(cls=OperationCommand, operation="approvals deny")
@_request
@yes_option
@json_option
def deny(*, request: UUID, yes: bool, as_json: bool) -> None:
    """Deny a request, or withdraw an approval that was not used yet."""
    _decide(request, approve=False, yes=yes, as_json=as_json)


def _decide(request: UUID, *, approve: bool, yes: bool, as_json: bool, digest: str | None = None) -> None:
    with services_of() as services:
        gate = services.approvals
        shown = gate.show(request) if approve else gate.read(request)
        _print(shown, err=True)
        if gate.advisory:
            say(gate.advisory)
        if not yes:
            word = "approve" if approve else "deny"
            about = "Read it first: keydeck approvals show ID."
            type_in(word, f"Type {word} to confirm", about=about)
        as_read = replace(shown, request_digest=clean(digest.lower())) if digest else shown
        made, advisory = gate.decide(as_read, approve=approve), gate.advisory
    if as_json:
        print_json(made.as_json())
        return
    print_line(f"{made.decision.value.capitalize()}: {made.summary}")
    if made.decision is Decision.APPROVED:
        once = "now" if advisory else f"once CloudTrail has delivered this ({DELIVERY})"
        say(f"{made.requested_by} can do it {once}, one time, until {utc(made.expires_at)} UTC.")


def _print(found: Approval, *, err: bool = False) -> None:
    decided = f" by {found.decided_by}, {utc(found.decided_at)} UTC" if found.decided_at else ""
    for text in (
        found.summary,
        f"action:   {found.action}",
        f"asked by: {found.requested_by}, {utc(found.requested_at)} UTC",
        f"until:    {utc(found.expires_at)} UTC",
        f"decision: {found.decision.value}{decided}",
        *([f"problem:  {found.problem}"] if found.problem else []),
        *(f"{name + ':':<9} {value}" for name, value in found.proof),
        *(f"  {line}" for line in _lines(found.plan)),
    ):
        print_line(text, err=err)


def _lines(value: Any, name: str = "") -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _lines(part, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list):
        for part in value:
            yield from _lines(part, name)
    elif value not in (None, ""):
        yield f"{name}: {value}"

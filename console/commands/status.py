"""keydeck status, keydeck check."""

from __future__ import annotations

from typing import Any

import click

from console.commands.session import json_option, wired
from console.printing import print_json, print_table, say
from crypto_core.counting import counted
from crypto_core.envelope import Format
from crypto_core.key_names import short_key
from crypto_core.keys.status import Problem, Status
from crypto_core.severity import Severity

_SIGN = {
    Severity.CRITICAL: "✖",
    Severity.HIGH: "▲",
    Severity.MEDIUM: "▲",
    Severity.LOW: "·",
    Severity.NONE: "●",
}


@click.command()
@json_option
@click.pass_context
def status(ctx: click.Context, *, as_json: bool) -> None:
    """Count all tokens by format, by column, by KMS key and key material."""
    with wired(ctx) as services:
        taken = services.services.status.take()
    if as_json:
        print_json(taken.as_json())
    else:
        print_status(taken)


@click.command()
@json_option
@click.pass_context
def check(ctx: click.Context, *, as_json: bool) -> int:
    """Exit 1 unless every token is protected under a trusted, enabled key."""
    with wired(ctx) as services:
        taken = services.services.status.take()
    if as_json:
        print_json(
            {
                "well": taken.well,
                "tokens": taken.tokens,
                "protected": taken.protected,
                "problems": [_problem_json(p) for p in taken.problems],
                "coverage": taken.coverage.as_json(),
            }
        )
    else:
        _print_problems(taken)
        click.echo("well" if taken.well else "not well")
    return 0 if taken.well else 1


def print_status(taken: Status) -> None:
    """Print a status as text: what is wrong first."""
    _print_problems(taken)
    share = f"{taken.protected / taken.tokens:.1%}" if taken.tokens else "-"
    click.echo(f"{counted(taken.tokens, 'token')}, {share} protected")
    click.echo()
    rows = [
        (
            share.alias or "",
            short_key(share.key_arn) if share.key_arn else "key not known",
            (share.key_material_id or "")[:8],
            share.tokens,
            share.key_state or "",
            share.evidence.value + (f" ({share.asked} asked)" if share.evidence.value == "inferred" else ""),
            share.note,
        )
        for share in taken.keys
    ]
    print_table(("key", "id", "material", "tokens", "state", "evidence", ""), rows)
    click.echo()
    print_table(
        ("column", "tokens", *(f.value for f in Format)),
        [(c.column, c.tokens, *(c.by_format.get(f, 0) for f in Format)) for c in taken.by_column],
    )
    for reason in taken.coverage.reasons:
        say(f"Not covered: {reason}")


def _print_problems(taken: Status) -> None:
    for problem in taken.problems:
        count = f"{counted(problem.tokens, 'token')} " if problem.tokens else ""
        click.echo(
            f"{_SIGN[problem.severity]} {problem.severity.value:8} {count}{problem.title}: {problem.where}"
        )
        click.echo(f"             {problem.remedy}")
    if taken.problems:
        click.echo()


def _problem_json(problem: Problem) -> dict[str, Any]:
    return {
        "severity": problem.severity.value,
        "title": problem.title,
        "where": problem.where,
        "remedy": problem.remedy,
        "tokens": problem.tokens,
        "filter": problem.filter,
        "key_arn": problem.key_arn,
    }

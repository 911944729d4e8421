"""keydeck status, keydeck check."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from console.commands.estate_options import estate_option
from console.commands.output_options import json_option
from console.commands.session import services_of
from console.printed import output
from console.whole_posture import examine_keys
from crypto_core.envelope import Format
from crypto_core.keys.status import ProtectedShare, Status
from crypto_core.values.counts import counted
from crypto_core.values.errors import SettingsError
from crypto_core.values.key_names import short_key
from screens.key_shares import evidence_words
from screens.status.lines import guard_words, sweep_words

if TYPE_CHECKING:
    from crypto_core.database.tokens.census import CensusProgress


@click.command()
@estate_option
@json_option
def status(*, as_json: bool) -> None:
    """Count all tokens by format, by column, by KMS key and key material."""
    with services_of() as services, census_progress() as progress:
        taken = services.services.status.take_census(progress=progress)
    output.print_answer(taken, print_status, as_json=as_json)


@click.command()
@estate_option
@json_option
def check(*, as_json: bool) -> int:
    """Exit 1 unless every token is protected under a trusted, enabled key.

    Findings of severity high or worse fail it too, and so does a posture that could not be examined for them.
    """
    with services_of() as services:
        with census_progress() as progress:
            taken = services.services.status.take_census(progress=progress)
        posture, error = examine_keys(services, taken.taken_at, status=taken)
        if isinstance(error, SettingsError):
            raise error
    well = taken.well and posture.well
    grave = tuple(f for f in posture.findings if f.severity.grave)
    reasons = tuple(dict.fromkeys((*taken.coverage.reasons, *posture.coverage.reasons)))
    coverage = replace(taken.coverage, reasons=reasons)
    from console.commands.findings import finding_lines
    from console.printed.finding_document import FindingDocument

    if as_json:
        output.print_json(
            {
                "well": well,
                "tokens": taken.tokens,
                "protected": ProtectedShare(taken.protected, taken.tokens).as_json(),
                "problems": [problem.as_json() for problem in taken.problems],
                "findings": [FindingDocument(f).as_json() for f in grave],
                "coverage": coverage.as_json(),
            }
        )
    else:
        _print_problems(taken)
        for line in finding_lines(grave):
            click.echo(line)
        click.echo("well" if well else "not well")
        output.say(f"counted: {coverage.words}")
        output.print_gaps(coverage.reasons)
    return 0 if well else 1


@contextmanager
def census_progress() -> Iterator[Callable[[CensusProgress], None] | None]:
    """Give what draws on a terminal's stderr how far the count is; elsewhere nothing does."""
    if not sys.stderr.isatty():
        yield None
        return
    with output.bar("counting", stops=True) as draw:
        yield lambda now: draw(now.done, now.pages, f"pages, {counted(now.tokens, 'token')} so far")


def print_status(taken: Status) -> None:
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
            evidence_words([share], taken.taken_at)[0],
            share.note,
        )
        for share in taken.keys
    ]
    output.print_table(("key", "id", "material", "tokens", "state", "evidence", ""), rows)
    for of_key in taken.accepted:
        output.print_line(of_key.words(_key_words(taken, of_key.key_arn)))
    click.echo()
    output.print_table(
        ("column", "tokens", *(f.value for f in Format)),
        [(c.column, c.tokens, *(c.by_format.get(f, 0) for f in Format)) for c in taken.by_column],
    )
    if taken.guards:
        click.echo(guard_words(taken.guards))
    output.print_line(f"counted: {taken.coverage.words}")
    if taken.sweep is not None:
        click.echo(f"elsewhere: {sweep_words(taken.sweep, taken.taken_at)}")
    if taken.decoys.words:
        output.print_line(f"tripwires: {taken.decoys.words}")
    output.print_gaps(taken.coverage.reasons)


def _key_words(taken: Status, key_arn: str) -> str:
    alias = next((s.alias for s in taken.keys if s.alias and s.key_arn == key_arn), "")
    return f"{alias} {short_key(key_arn)}" if alias else key_arn


def _print_problems(taken: Status) -> None:
    for problem in taken.problems:
        count = f"{counted(problem.tokens, 'token')} " if problem.tokens else ""
        output.print_marked(problem.severity, f"{count}{problem.title}: {problem.evidence}")
        click.echo(f"             {problem.remedy}")
    if taken.problems:
        click.echo()

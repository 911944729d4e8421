"""keydeck findings."""

from __future__ import annotations

import click

from console.commands.session import json_option, wired
from console.printing import print_json, say
from console.signs import SIGNS
from crypto_core.keys.posture.examination import Posture


@click.command()
@json_option
@click.pass_context
def findings(ctx: click.Context, *, as_json: bool) -> int:
    """List what is wrong with keys, access and trails, the worst first.

    Exit code 1 if there is anything; 3 if there is nothing, but what could not be examined may hide a
    finding of severity high or worse; else 0.
    """
    with wired(ctx) as services:
        posture = services.services.posture.examine()
    if as_json:
        print_json(posture.as_json())
    else:
        print_findings(posture)
        if not posture.findings:
            click.echo("No findings.")
    for reason in posture.coverage.reasons:
        say(f"Not covered: {reason}")
    if posture.findings:
        return 1
    return 0 if posture.examined else 3


def print_findings(posture: Posture) -> None:
    """Print findings as text, the worst first."""
    for finding in posture.findings:
        severity = finding.severity
        click.echo(f"{SIGNS[severity]} {severity.value:8} {finding.title}")
        for name, text in (
            ("rule", finding.rule),
            ("subject", finding.subject),
            ("evidence", finding.evidence),
            ("remedy", finding.remedy),
            ("controls", ", ".join(finding.controls)),
        ):
            click.echo(f"             {name:8}  {text}")
    if posture.findings:
        click.echo()

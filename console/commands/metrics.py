"""keydeck metrics."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import click

from console.commands.session import loaded
from console.printed.output import print_gaps, say
from crypto_core.lists.new_files import ExportError, followed, replace_file


@click.command()
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write to this file instead of stdout, atomically: for a node exporter's textfile collector.",
)
def metrics(*, output: Path | None) -> int:
    """Take a census and print it for Prometheus, with the KMS calls that this run took."""
    from console.commands.mfa_prompt import code_from_terminal
    from console.container import Container
    from crypto_core.metrics import Metrics

    target = _target(output) if output else None
    counted = Metrics()
    with closing(Container(loaded().settings, observer=counted, ask_code=code_from_terminal)) as services:
        taken = services.services.status.take_census()
    print_gaps(taken.coverage.reasons)
    counted.census(taken.by_format, taken.taken_at, complete=taken.coverage.complete)
    if target is None:
        click.echo(counted.exposition(), nl=False)
        return 0
    try:
        replace_file(target, counted.exposition(), mode=0o644)
    except ExportError as error:
        say(f"keydeck: {error}")
        return 3
    return 0


def _target(output: Path) -> Path:
    """The file behind any links. Raises BadParameter unless it is one, or can become one."""
    try:
        target = followed(output)
    except ExportError as error:
        raise click.BadParameter(str(error), param_hint="--output") from error
    if not target.parent.is_dir():
        raise click.BadParameter(f"There is not a folder {target.parent}.", param_hint="--output")
    if target.exists() and not target.is_file():
        raise click.BadParameter(f"{target} is not a file.", param_hint="--output")
    return target

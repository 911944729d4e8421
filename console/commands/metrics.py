"""keydeck metrics."""

from __future__ import annotations

import os
import tempfile
from contextlib import closing
from pathlib import Path

import click

from console.commands.session import loaded
from console.printed.printing import print_gaps, say


@click.command()
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write to this file instead of stdout, atomically: for a node exporter's textfile collector.",
)
def metrics(*, output: Path | None) -> int:
    """Take a census and print it for Prometheus, with the KMS calls that this run took."""
    from console.container import Container
    from crypto_core.metrics import Metrics

    target = _target(output) if output else None
    counted = Metrics()
    with closing(Container(loaded().settings, observer=counted)) as services:
        taken = services.services.status.take_census()
    print_gaps(taken.coverage.reasons)
    counted.census(taken.by_format, taken.taken_at, complete=taken.coverage.complete)
    if target is None:
        click.echo(counted.exposition(), nl=False)
        return 0
    try:
        _replace(target, counted.exposition())
    except OSError as error:
        say(f"keydeck: {target} can't be written: {error.strerror or type(error).__name__}.")
        return 3
    return 0


def _target(output: Path) -> Path:
    """The file behind any links. Raises BadParameter unless it is one, or can become one."""
    target = Path(os.path.realpath(output))
    if not target.parent.is_dir():
        raise click.BadParameter(f"There is not a folder {target.parent}.", param_hint="--output")
    if target.exists() and not target.is_file():
        raise click.BadParameter(f"{target} is not a file.", param_hint="--output")
    return target


def _replace(target: Path, text: str) -> None:
    """Write a file that is whole whenever somebody reads it, and that everybody may read. Raises OSError."""
    # A textfile collector reads *.prom: the name of the unfinished file must not end so.
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
    unfinished = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fchmod(descriptor, 0o644)
            os.fsync(descriptor)
        unfinished.replace(target)
    except BaseException:  # also an interrupt must leave no unfinished file behind
        unfinished.unlink(missing_ok=True)
        raise

"""keydeck evidence cbom: the cryptography of this database as it is now, as a bill of materials."""

from __future__ import annotations

from pathlib import Path

import click

from console.commands.session import services_of
from console.extras import CBOM, require_extra
from console.host.interrupts import cancelled_by_interrupt
from console.printed.printing import say


@click.command()
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A new file, readable by its owner alone [standard output].",
)
def cbom(*, output: Path | None) -> int:
    """Print a cryptography bill of materials (CycloneDX 1.6, JSON) of what is measured now.

    Algorithms, keys and materials with their states, certificates and connections, and the token columns that
    depend on them, each with its standing against quantum computers. No key, token or other value is in it.
    Exit code 3 if something could not be read: it is missing from the bill, which says so.
    """
    require_extra(CBOM, "keydeck evidence cbom")
    from crypto_core.lists.new_files import write_new

    with services_of() as services, cancelled_by_interrupt() as cancelled:
        made = services.bills.make(cancelled)
    if output is None:
        click.echo(made.document, nl=False)
    else:
        write_new({output: made.document})
        say(f"Written: {output}")
    for why in made.lacking:
        say(f"Not in it: {why}")
    return 3 if made.failed else 0

"""keydeck settings."""

from __future__ import annotations

import click

from console.commands.output_options import rows_option
from console.commands.session import loaded
from console.printed.forms import Form
from console.printed.lists import Printout, print_listing


@click.command()
@rows_option
def settings(*, form: Form) -> None:
    """Show each setting and where it came from; secrets are masked."""
    listing = Printout(
        name="settings",
        rows=loaded().shown(),
        record=lambda row: dict(zip(("name", "value", "origin"), row, strict=True)),
        headers=("setting", "value", "from"),
        cells=tuple,
    )
    print_listing(listing, form)

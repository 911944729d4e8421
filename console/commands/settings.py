"""keydeck settings."""

from __future__ import annotations

import click

from console.commands.session import json_option, loaded
from console.printed.printing import print_json, print_table


@click.command()
@json_option
def settings(*, as_json: bool) -> None:
    """Show each setting and where it came from; secrets are masked."""
    rows = loaded().shown()
    if as_json:
        print_json({"settings": [{"name": n, "value": v, "origin": o} for n, v, o in rows]})
    else:
        print_table(("setting", "value", "from"), rows)

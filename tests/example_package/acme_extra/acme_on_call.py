"""keydeck acme-on-call."""

from __future__ import annotations

import click


@click.command("acme-on-call")
def acme_on_call() -> None:
    """Say who is on call."""
    click.echo("ana")

"""keydeck evidence verifier."""

from __future__ import annotations

from pathlib import Path

import click

from console.printed.output import say
from crypto_core.compliance.proof.assembly import verifier_digest, verifier_source
from crypto_core.lists.new_files import write_new


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
def verifier(*, file: Path | None) -> None:
    """Write the program by which an outsider verifies packs and exported journals: to FILE, or to stdout.

    One file of Python that needs `openssl`, and neither Keydeck nor AWS, a database or a network. Its SHA-256
    goes to stderr. Who verifies with it had best get it from elsewhere than the pack. Nothing is asked here:
    it works without settings.
    """
    text = verifier_source().decode()
    if file is None:
        click.echo(text, nl=False)
    else:
        write_new({file: text})
        say(f"Written: {file}.")
    say(f"SHA-256 {verifier_digest()}")

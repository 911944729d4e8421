"""keydeck events provider hash: open GitHub tokens and note by which hash their audit log names them."""

from __future__ import annotations

import click

from console.commands.asking import confirm, yes_option
from console.commands.output_options import json_option
from console.commands.session import services_of
from console.completion.offers import token_references
from console.forensics.services import ForensicsServices
from console.printed.printing import print_json, say
from crypto_core.references import TokenRef, parse_reference
from crypto_core.text.counting import counted


@click.command("hash")
@click.argument("references", nargs=-1, required=True, metavar="REF...", shell_complete=token_references)
@yes_option
@json_option
def hash_(*, references: tuple[str, ...], yes: bool, as_json: bool) -> int:
    """Open GitHub tokens and note their SHA-256, by which GitHub's audit log names them.

    From then on `keydeck events token` shows as facts what was done with them, also once they are replaced.
    The hashes stay in the local store; a token can't be told from its hash. Exit code 1 if one of the tokens
    is none of GitHub's, or doesn't open.
    """
    parsed = [parse_reference(reference) for reference in references]
    with services_of() as services:
        catalogue = services.catalogue()
        refs = tuple(
            ref
            for one in parsed
            for ref in ((one,) if isinstance(one, TokenRef) else catalogue.references(one))
        )
        if not yes:
            tokens = counted(len(refs), "token")
            confirm(f"Open {tokens} to note their hashes?", about=f"This opens {tokens}.")
        noted = services.of(ForensicsServices).token_hashing.note(refs, "events provider hash")
    if as_json:
        print_json(noted.as_json())
    else:
        click.echo(f"{counted(len(noted.refs), 'hash')} known, {noted.new:,} new")
        for ref in noted.without:
            say(f"{ref}: none of GitHub's, or it doesn't open")
    return 1 if noted.without else 0

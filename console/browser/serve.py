"""keydeck serve."""

from __future__ import annotations

import asyncio
import re

import click

from console.commands.session import loaded
from console.extras import require_extra
from console.printed.output import say


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    show_default="any free one",
    help="The port to listen on.",
)
@click.option("--allow-remote", is_flag=True, help="Accept connections from other machines.")
@click.option(
    "--public-url", metavar="URL", help="What browsers see of a TLS proxy in front: https://keydeck.example."
)
@click.option(
    "--identity-header",
    metavar="NAME",
    default="",
    help="The header in which the proxy in front says who it let in; every request needs it.",
)
@click.option("--read-write", is_flag=True, help="Allow changes; without it every change is refused.")
def serve(
    *,
    host: str,
    port: int,
    allow_remote: bool,
    public_url: str | None,
    identity_header: str,
    read_write: bool,
) -> int:
    """Serve the console to one browser: this machine's, read only, until Ctrl-C.

    Prints an address that works once: the browser that opens it first gets in, and no other. Exit code 0 when
    Ctrl-C or SIGTERM ends it, 3 when too many wrong addresses were tried.
    """
    require_extra("web", "The console in a browser")
    from console.browser.process import console_command
    from console.browser.site import listen
    from console.browser.site import serve as serve_until_told
    from console.server_addresses import Addresses

    _check_reach(host, public_url, allow_remote=allow_remote)
    if identity_header and public_url is None:
        raise click.UsageError(
            "--identity-header is for a proxy in front of the server: it needs --public-url."
        )
    if identity_header and not re.fullmatch(r"[A-Za-z0-9-]{1,100}", identity_header):
        raise click.UsageError("--identity-header takes the name of a header, such as X-Forwarded-Email.")
    settings = loaded().settings
    if read_write and settings.read_only:
        raise click.UsageError("--read-write doesn't lift --read-only or the setting read_only.")
    settings.required_database_url()
    read_only = not read_write

    def announce(where: Addresses, token: str) -> None:
        say("Read only; --read-write allows changes." if read_only else "Changes are allowed.")
        say("The address lets one browser in, once. Ctrl-C ends the server and the console.")
        click.echo(f"{where.url}/?token={token}")

    with listen(host, port) as listening:
        command = console_command(read_only=read_only)
        serving = serve_until_told(
            listening, host, command, announce, public_url=public_url, identity_header=identity_header
        )
        if asyncio.run(serving):
            return 0
    say("Too many wrong addresses were tried. The printed one is no longer valid; start keydeck serve again.")
    return 3


def _check_reach(host: str, public_url: str | None, *, allow_remote: bool) -> None:
    """Raise UsageError where other machines would reach the server unasked, or by an unknown address."""
    from console.server_addresses import is_every_interface
    from crypto_core.providers.endpoints import is_loopback

    if is_loopback(host):
        return
    if not allow_remote:
        raise click.UsageError(f"{host!r} is reachable from other machines: that needs --allow-remote.")
    if is_every_interface(host) and public_url is None:
        raise click.UsageError("All interfaces have no address to print: name one, or --public-url.")
    say("Warning: other machines reach this, and the connection isn't encrypted. Put it behind TLS.")

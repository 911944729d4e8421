"""Runs the site until it is stopped."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Callable, Sequence

from aiohttp import web

from console.web.addresses import Addresses, addresses
from console.web.admission import Admission
from console.web.gate import RequestGate
from console.web.site import Site
from crypto_core.errors import SettingsError

_ENDING = (signal.SIGINT, signal.SIGTERM)
_LAST_ANSWERS = 2.0

# aiohttp's own would quote requests, and a request may hold the token or the cookie.
_silent = logging.getLogger("keydeck.web.requests")
_silent.addHandler(logging.NullHandler())
_silent.propagate = False


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens there, on any free port for 0. Raises SettingsError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "not a host"
        raise SettingsError(
            f"Can't listen on {host} port {port}: {reason}.", remedy="Choose another --host or --port."
        ) from error


async def serve(
    listening: socket.socket,
    host: str,
    command: Sequence[str],
    announce: Callable[[Addresses, str], None],
    *,
    public_url: str | None = None,
    identity_header: str = "",
) -> bool:
    """Serve until SIGINT or SIGTERM; returns False if too many wrong tokens ended it.

    `announce` is called with the addresses and the token once requests are answered. Raises SettingsError.
    """
    ended, locked = asyncio.Event(), asyncio.Event()

    def lock() -> None:
        locked.set()
        ended.set()

    where = addresses(host, listening.getsockname()[1], public_url)
    admission = Admission()
    gate = RequestGate(where, admission, lock, identity_header=identity_header)
    site = Site(gate, command)
    runner = web.AppRunner(
        site.application(), access_log=None, logger=_silent, shutdown_timeout=_LAST_ANSWERS
    )
    loop = asyncio.get_running_loop()
    for number in _ENDING:
        loop.add_signal_handler(number, ended.set)
    try:
        await runner.setup()
        await web.SockSite(runner, listening).start()
        announce(where, admission.token)
        await ended.wait()
    finally:
        await runner.cleanup()
        for number in _ENDING:
            loop.remove_signal_handler(number)
    return not locked.is_set()

"""`python -m console.sandbox.endpoint`: the endpoint as a process of its own.

Prints one JSON line, `{"port": …, "pid": …, "token": …}`, when it answers; the token is for control calls.
Ends with status 0 on SIGTERM, on SIGINT, and when its standard input ends: a parent that holds the other end
of that pipe never leaves it behind, however it dies.
"""

import argparse
import asyncio
import gc
import hashlib
import json
import logging
import os
import signal
import sys
from functools import partial

from console.host.children import when_parent_ends
from console.sandbox.endpoint.gate import EndpointGate
from console.sandbox.endpoint.server import EndpointServer, serve


def main() -> None:
    options = _options()
    logging.basicConfig(
        level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s"
    )
    root_secret = os.urandom(32)
    if options.seed is not None:
        root_secret = hashlib.sha256(f"keydeck sandbox seed {options.seed}".encode()).digest()
    gate = EndpointGate(options.region, root_secret, options.seed)
    asyncio.run(_run(EndpointServer(gate, options.delivery_interval), options.port))
    # Nothing here outlives the process, and taking moto and a full trail apart takes half a second.
    sys.stderr.flush()
    os._exit(0)


async def _run(server: EndpointServer, port: int) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    when_parent_ends(lambda: loop.call_soon_threadsafe(stop.set))
    await serve(server, port, partial(_announce, server.access.token), stop.wait())


def _announce(token: str, port: int) -> None:
    print(json.dumps({"port": port, "pid": os.getpid(), "token": token}), flush=True)
    # A full trail is half a million small objects: collecting them again and again would cost every call.
    gc.set_threshold(50_000, 20, 100)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="console.sandbox.endpoint", description="The sandbox's AWS endpoint."
    )
    parser.add_argument("--region", default="eu-west-1", help="Region of requests that name none")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 is any free one")
    parser.add_argument("--seed", type=int, help="makes key ids and key material reproducible")
    parser.add_argument(
        "--delivery-interval", type=float, default=5.0, help="seconds between deliveries of the trail to S3"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()

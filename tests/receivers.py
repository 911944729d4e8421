"""Receivers of notifications on this machine: webhooks, mail, one that takes calls and never answers."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Thread
from typing import Any

from tests.http_answers import Answer, Asked, answering

TOKEN = "canary-receiver-token"
"""What the URLs of receivers hold, and nothing may show."""


@dataclass
class Webhook:
    """What apprise's json:// is given. It answers with `status`, and with `answer` as the body."""

    port: int = 0
    status: int = 200
    answer: bytes = b"ok"
    headers: dict[str, str] = field(default_factory=dict)
    taken: list[dict[str, Any]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"json://keydeck:{TOKEN}@127.0.0.1:{self.port}/{TOKEN}"


@contextmanager
def webhook() -> Iterator[Webhook]:
    hook = Webhook()

    def answer(asked: Asked) -> Answer:
        hook.taken.append(json.loads(asked.body))
        return hook.status, hook.headers, hook.answer

    with answering(answer) as url:
        hook.port = int(url.rpartition(":")[2])
        yield hook


@contextmanager
def dead() -> Iterator[str]:
    """Give the URL of a receiver that takes calls and never answers."""
    with closing(socket.create_server(("127.0.0.1", 0), backlog=16)) as listening:
        yield f"json://keydeck:{TOKEN}@127.0.0.1:{listening.getsockname()[1]}/{TOKEN}"


@contextmanager
def mailbox() -> Iterator[tuple[str, list[str]]]:
    """Give the URL of a mail server of one's own, and the mails that it takes."""
    mails: list[str] = []

    class Handler(StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 here\r\n")
            for line in self.rfile:
                word = line[:4].upper()
                if word == b"QUIT":
                    self.wfile.write(b"221 bye\r\n")
                    return
                if word == b"DATA":
                    self.wfile.write(b"354 go on\r\n")
                    mails.append(b"".join(iter(self.rfile.readline, b".\r\n")).decode())
                self.wfile.write(b"250 ok\r\n")

    with ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        port = server.server_address[1]
        yield f"mailto://127.0.0.1:{port}?mode=insecure&from=keydeck@example.org&to=ops@example.org", mails
        server.shutdown()

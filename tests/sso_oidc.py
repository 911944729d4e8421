"""A small sso-oidc over HTTP, as moto has none, and the one call of SSO that gives a role's credentials."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

REGION = "eu-west-1"
START = "https://acme.awsapps.com/start"
ADDRESS = "https://device.sso.eu-west-1.amazonaws.com/"
CODE = "ABCD-EFGH"
TOKEN = "aoaAAAAAsecret-access-token"


@dataclass
class SsoOidc:
    """What it answers, and what it was asked."""

    url: str = ""
    address: str | None = ADDRESS
    link: str = f"{ADDRESS}?user_code={CODE}"
    code: str = CODE
    interval: int = 1
    answers: list[str] = field(default_factory=list)
    """How CreateToken fails before it gives a token: by a name, "busy" (503) or "garbage"."""
    registered: list[dict[str, Any]] = field(default_factory=list)
    asked: int = 0

    def answer(self, path: str, asked: dict[str, Any]) -> tuple[int, Any]:
        """Return a status and a document, or bytes."""
        if path == "/client/register":
            self.registered.append(asked)
            expires = int(time.time()) + 90 * 86_400
            return 200, {"clientId": "client", "clientSecret": "hush", "clientSecretExpiresAt": expires}
        if path == "/device_authorization":
            assert (asked["clientId"], asked["clientSecret"], asked["startUrl"]) == ("client", "hush", START)
            more = {"verificationUri": self.address, "verificationUriComplete": self.link}
            known = {
                "deviceCode": "device",
                "userCode": self.code,
                "expiresIn": 600,
                "interval": self.interval,
            }
            return 200, known | more
        if path.startswith("/federation/credentials"):
            keys = {"accessKeyId": "ASIAFROMSSO", "secretAccessKey": "s", "sessionToken": "t"}
            return 200, {"roleCredentials": keys | {"expiration": int(time.time() + 3_600) * 1_000}}
        self.asked += 1
        assert asked["deviceCode"] == "device"
        assert asked["grantType"] == "urn:ietf:params:oauth:grant-type:device_code"
        failure = self.answers.pop(0) if self.answers else ""
        if failure == "busy":
            self.answers.insert(0, "busy again")
            return 503, {}
        if failure == "busy again":
            return 503, {}
        if failure == "garbage":
            return 200, f'{{"accessToken": "{TOKEN}"'.encode()
        if failure:
            return 400, {"__type": failure, "error": failure}
        return 200, {
            "accessToken": TOKEN,
            "tokenType": "Bearer",
            "expiresIn": 28_800,
            "refreshToken": "again",
        }


@contextmanager
def sso_oidc() -> Iterator[SsoOidc]:
    """Run it."""
    served = SsoOidc()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            self._say(*served.answer(self.path, json.loads(self.rfile.read(length) or b"{}")))

        def do_GET(self) -> None:
            self._say(*served.answer(self.path, {}))

        def _say(self, status: int, document: Any) -> None:
            body = document if isinstance(document, bytes) else json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            if status >= 400 and isinstance(document, dict) and "__type" in document:
                self.send_header("x-amzn-ErrorType", document["__type"])
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

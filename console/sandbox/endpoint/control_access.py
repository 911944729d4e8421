"""Who may drive the endpoint: whoever started it, and no page in a browser or other user of this machine."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping

TOKEN_HEADER = "X-Keydeck-Control"  # noqa: S105 (a header's name)


class ControlAccess:
    """Tells the calls that hold the token which was made at the start, and name this endpoint as their host.

    A page in a browser can send no such header to another origin unasked, and one whose name was made to lead
    here (DNS rebinding) names its own host.
    """

    def __init__(self) -> None:
        self.token = secrets.token_urlsafe(32)
        self.hosts: frozenset[str] = frozenset()

    def listen_on(self, port: int) -> None:
        self.hosts = frozenset(f"{name}:{port}" for name in ("127.0.0.1", "localhost"))

    def permits(self, headers: Mapping[str, str]) -> bool:
        presented = headers.get(TOKEN_HEADER, "").encode("utf-8", "replace")
        return hmac.compare_digest(presented, self.token.encode()) and headers.get("Host") in self.hosts

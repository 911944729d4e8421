"""What goes to a provider and what comes back, without how it gets there."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from crypto_core.providers.answers import Liveness
from crypto_core.providers.endpoints import Endpoints
from crypto_core.values.clean_text import clean
from crypto_core.values.references import TokenRef

_SENDABLE = re.compile(r"[\x21-\x7e]{1,16384}")


@dataclass(frozen=True, slots=True)
class Target:
    """Whom to ask about a token: its provider, the base URL to go to, and what else the row gives.

    `forwarded` is the site's own host where all calls of a provider's sites go to a configured URL.
    """

    ref: TokenRef
    provider: str
    base: str
    email: str = ""
    forwarded: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    content: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class ProviderAnswer:
    """What came back. Foreign data: what is shown of it is cleaned first."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """By lower-case name."""
    body: bytes = field(default=b"", repr=False)

    def document(self) -> Any:
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    def fields(self) -> Mapping[str, Any]:
        document = self.document()
        return document if isinstance(document, dict) else {}


@dataclass(frozen=True, slots=True)
class NoAnswer:
    reason: str


Reply = ProviderAnswer | NoAnswer


@dataclass(frozen=True, slots=True)
class Said:
    """What a provider's answer says of a token. Cleaned text."""

    liveness: Liveness
    reason: str
    whose: str = ""


@dataclass(frozen=True, slots=True)
class Accepted:
    """Whether a provider accepted a revocation, and its answer, cleaned. Once `spent`, it accepts no more."""

    accepted: bool
    reason: str
    spent: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class RevocationMethod:
    """How tokens are revoked, under the name that a plan's digest has for it.

    `request` makes the request that revokes tokens of one base URL, `batch` of them at most. `accepted` reads
    the answer; None is for tokens that it does not revoke, which are left to `otherwise`. `warnings` are what
    whoever agrees to so many requests has to know.
    """

    name: str
    request: Callable[[str, Sequence[str], Endpoints], Request]
    accepted: Callable[[ProviderAnswer], Accepted | None]
    batch: int = 1
    otherwise: RevocationMethod | None = None
    warnings: Callable[[int, Endpoints], Iterable[str]] = lambda requests, endpoints: ()

    def requests(self, tokens: int) -> int:
        return -(-tokens // self.batch)


REFRESH_COLUMN = "refresh_token"
NEVER_ASKED = "a refresh token can only be used, not asked about"


def unknown(reason: str) -> Said:
    return Said(Liveness.UNKNOWN, reason)


def sendable(token: str) -> bool:
    """Whether a token can stand in a header: visible ASCII, and no more than a header takes."""
    return _SENDABLE.fullmatch(token) is not None


def bearer(token: str) -> dict[str, str]:
    """Return the header that presents a token (RFC 6750)."""
    return {"Authorization": f"Bearer {token}"}


def basic(user: str, password: str) -> dict[str, str]:
    """Return the header that presents a name and a password (RFC 7617)."""
    return {"Authorization": f"Basic {b64encode(f'{user}:{password}'.encode()).decode('ascii')}"}


def unexpected(answer: ProviderAnswer) -> str:
    """Return what there is to tell of an answer that says neither."""
    if answer.status == 429:
        return "asked too often: HTTP 429"
    if 300 <= answer.status < 400:
        return f"HTTP {answer.status}: sends elsewhere, where no token is taken"
    message = answer.fields().get("message")
    told = f": {clean(message, 120)}" if isinstance(message, str) and message else ""
    return f"HTTP {answer.status}{told}"

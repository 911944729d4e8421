"""GitHub: its requests and what its answers say.

GitHub REST API, "Users", "Revocation" (/credentials/revoke), "OAuth authorizations" and "Apps"
(/installation/token).
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from collections.abc import Sequence
from datetime import UTC, datetime

from crypto_core.providers.answers import Liveness
from crypto_core.providers.endpoints import Endpoints
from crypto_core.providers.messages import (
    Accepted,
    NoAnswer,
    ProviderAnswer,
    Reply,
    Request,
    RevocationMethod,
    Said,
    basic,
    bearer,
    unexpected,
    unknown,
)
from crypto_core.text.cleaning import clean

BATCH = 1_000
"""Tokens that one revocation takes."""
REVOCATIONS_AN_HOUR = 60
"""Requests of /credentials/revoke that GitHub takes from one address."""

_ACCEPT = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
_JSON = {"Content-Type": "application/json"}


_CREDENTIALS = ("ghp_", "github_pat_", "gho_", "ghu_", "ghr_")


def way_of(token: str, endpoints: Endpoints) -> RevocationMethod | None:
    """Return how a token can be revoked, None if only by hand."""
    if token.startswith("ghs_"):
        return RevocationMethod.GITHUB_INSTALLATION
    if token.startswith("gho_") and endpoints.github_app:
        return RevocationMethod.GITHUB_APP
    return RevocationMethod.GITHUB_CREDENTIALS if token.startswith(_CREDENTIALS) else None


def question(base: str, token: str) -> Request | str:
    """Return the request that asks about a token, or why there is none."""
    if token.startswith("ghr_"):
        return "a refresh token can only be used, not asked about"
    return Request("GET", f"{base}/user", _ACCEPT | bearer(token))


def read(answer: ProviderAnswer, token: str) -> Said:
    """Return what the answer to `question` says."""
    said = answer.fields()
    if answer.status == 200 and isinstance(login := said.get("login"), str) and login:
        return Said(Liveness.ALIVE, "GitHub takes it", clean(login, 100))
    # What a proxy between says is no word of GitHub's, which always gives a message.
    message = said.get("message")
    if not isinstance(message, str):
        return unknown(unexpected(answer))
    if answer.status == 401:
        return Said(Liveness.DEAD, f"GitHub does not take it: {clean(message, 100)}")
    if answer.status == 403 and token.startswith("ghs_") and not rate_limited(answer):
        return Said(Liveness.ALIVE, "GitHub takes it, as an installation's token", "an installation")
    return unknown("asked too often" if rate_limited(answer) else unexpected(answer))


def rate_limited(answer: ProviderAnswer) -> bool:
    """Whether GitHub refused for having been asked too often; it says so with 403, too."""
    if answer.status == 429:
        return True
    spent = answer.headers.get("x-ratelimit-remaining") == "0" or "retry-after" in answer.headers
    told = "rate limit" in str(answer.fields().get("message", "")).lower()
    return answer.status == 403 and (spent or told)


def revocation(base: str, tokens: Sequence[str]) -> Request:
    """Return the request that revokes up to `BATCH` tokens; with authentication GitHub would refuse it."""
    content = json.dumps({"credentials": list(tokens)}).encode()
    return Request("POST", f"{base}/credentials/revoke", _ACCEPT | _JSON, content)


def revocation_by_app(endpoints: Endpoints, token: str) -> Request:
    """Return the request by which an OAuth app revokes a token of its own."""
    app = basic(endpoints.github_client_id, endpoints.github_client_secret)
    content = json.dumps({"access_token": token}).encode()
    url = f"{endpoints.github}/applications/{endpoints.github_client_id}/token"
    return Request("DELETE", url, _ACCEPT | _JSON | app, content)


def revocation_by_itself(base: str, token: str) -> Request:
    """Return the request by which an installation token revokes itself."""
    return Request("DELETE", f"{base}/installation/token", _ACCEPT | bearer(token))


def read_revocation(reply: Reply, way: RevocationMethod) -> Accepted:
    """Return whether GitHub took a revocation. That is no proof that a token is dead."""
    if isinstance(reply, NoAnswer):
        return Accepted(False, reply.reason)
    if reply.status == (202 if way is RevocationMethod.GITHUB_CREDENTIALS else 204):
        return Accepted(True, "GitHub took the revocation")
    if rate_limited(reply):
        return Accepted(False, f"GitHub takes {REVOCATIONS_AN_HOUR} revocations an hour{_again(reply)}")
    if reply.status == 401 and way is RevocationMethod.GITHUB_INSTALLATION:
        return Accepted(False, "GitHub did not take it any more")
    if way is RevocationMethod.GITHUB_APP and reply.status in (401, 403):
        return Accepted(False, f"GitHub does not take the app's client id and secret: {unexpected(reply)}")
    return Accepted(False, unexpected(reply))


def _again(answer: ProviderAnswer) -> str:
    """From when GitHub takes more: its header names the second."""
    told = answer.headers.get("x-ratelimit-reset", "")
    if not (told.isascii() and told.isdigit() and len(told) <= 11):
        return ", and no more now"
    return f", more from {datetime.fromtimestamp(int(told), UTC):%Y-%m-%d %H:%M} UTC"


def is_not_the_apps(reply: Reply) -> bool:
    """Whether GitHub says that the token is none of the app's."""
    return isinstance(reply, ProviderAnswer) and reply.status in (404, 422)


def hashed_query(token: str) -> str:
    """Return the audit log query that finds what a token did.

    GitHub Docs, "Identifying audit log events performed by an access token".
    """
    digest = b64encode(hashlib.sha256(token.encode()).digest()).decode("ascii")
    return f'hashed_token:"{digest}"'


def by_hand() -> str:
    """Return how a person revokes a token that none of these requests revokes."""
    return (
        "GitHub has no request that revokes a token of this kind. Its owner revokes it in GitHub under "
        "Settings, Applications; an organisation's owner under its Settings, Third-party Access."
    )

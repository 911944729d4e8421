"""GitHub: its requests and what its answers say.

GitHub REST API, "Users", "Revocation" (/credentials/revoke), "OAuth authorizations" and "Apps"
(/installation/token).
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from crypto_core.providers.answers import Liveness
from crypto_core.providers.endpoints import GITHUB, Endpoints
from crypto_core.providers.messages import (
    NEVER_ASKED,
    REFRESH_PREFIXES,
    Accepted,
    ProviderAnswer,
    Request,
    RevocationMethod,
    Said,
    basic,
    bearer,
    unexpected,
    unknown,
)
from crypto_core.text.cleaning import clean

REVOCATIONS_AN_HOUR = 60
"""Requests of /credentials/revoke that GitHub takes from one address."""

ACCEPT = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
_JSON = {"Content-Type": "application/json"}
_CREDENTIALS = ("ghp_", "github_pat_", "gho_", "ghu_", "ghr_")


def question(base: str, token: str) -> Request | str:
    """Return the request that asks about a token, or why there is none."""
    if token.startswith(REFRESH_PREFIXES):
        return NEVER_ASKED
    return Request("GET", f"{base}/user", ACCEPT | bearer(token))


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


def _revoke_leaked(_base: str, tokens: Sequence[str], endpoints: Endpoints) -> Request:
    # With authentication GitHub would refuse it.
    content = json.dumps({"credentials": list(tokens)}).encode()
    return Request("POST", f"{endpoints.github}/credentials/revoke", ACCEPT | _JSON, content)


def _revoke_by_app(_base: str, tokens: Sequence[str], endpoints: Endpoints) -> Request:
    (token,) = tokens
    app = basic(endpoints.github_client_id, endpoints.github_client_secret)
    content = json.dumps({"access_token": token}).encode()
    url = f"{endpoints.github}/applications/{endpoints.github_client_id}/token"
    return Request("DELETE", url, ACCEPT | _JSON | app, content)


def _revoke_itself(base: str, tokens: Sequence[str], _endpoints: Endpoints) -> Request:
    return Request("DELETE", f"{base}/installation/token", ACCEPT | bearer(*tokens))


def _taken(answer: ProviderAnswer, status: int = 204) -> Accepted:
    """Whether GitHub took a revocation. That is no proof that a token is dead."""
    if answer.status == status:
        return Accepted(True, "GitHub took the revocation")
    if rate_limited(answer):
        return Accepted(
            False, f"GitHub takes {REVOCATIONS_AN_HOUR} revocations an hour{_again(answer)}", spent=True
        )
    return Accepted(False, unexpected(answer))


def _taken_by_app(answer: ProviderAnswer) -> Accepted | None:
    if answer.status in (404, 422):
        return None  # the token is none of the app's
    if answer.status in (401, 403) and not rate_limited(answer):
        return Accepted(False, f"GitHub does not take the app's client id and secret: {unexpected(answer)}")
    return _taken(answer)


def _taken_by_itself(answer: ProviderAnswer) -> Accepted:
    return Accepted(False, "GitHub did not take it any more") if answer.status == 401 else _taken(answer)


def _again(answer: ProviderAnswer) -> str:
    """From when GitHub takes more: its header names the second."""
    told = answer.headers.get("x-ratelimit-reset", "")
    if not (told.isascii() and told.isdigit() and len(told) <= 11):
        return ", and no more now"
    return f", more from {datetime.fromtimestamp(int(told), UTC):%Y-%m-%d %H:%M} UTC"


def _warnings(requests: int, endpoints: Endpoints) -> Iterator[str]:
    yield "GitHub writes to the owner of each token that it revokes."
    if requests > REVOCATIONS_AN_HOUR:
        yield (
            f"GitHub takes {REVOCATIONS_AN_HOUR} requests an hour from one address and "
            f"{requests:,} are needed: what is left has to be revoked later."
        )
    if endpoints.github != GITHUB:
        yield "A GitHub Enterprise Server may refuse unauthenticated revocations; the proof shows it."


def _warnings_by_app(_requests: int, _endpoints: Endpoints) -> Iterator[str]:
    yield (
        "Tokens that the configured OAuth app did not issue are revoked as leaked credentials: GitHub "
        "writes to their owners."
    )


LEAKED_CREDENTIALS = RevocationMethod(
    "github-credentials",
    request=_revoke_leaked,
    accepted=lambda answer: _taken(answer, 202),
    batch=1_000,
    warnings=_warnings,
)
"""By /credentials/revoke, many at once, without authentication."""

BY_APP = RevocationMethod(
    "github-app",
    request=_revoke_by_app,
    accepted=_taken_by_app,
    otherwise=LEAKED_CREDENTIALS,
    warnings=_warnings_by_app,
)
"""By the OAuth app that issued it."""

BY_ITSELF = RevocationMethod("github-installation", request=_revoke_itself, accepted=_taken_by_itself)
"""By itself: an installation token of a GitHub App."""


def revocation(token: str, endpoints: Endpoints) -> RevocationMethod | str:
    """Return how a token is revoked, in words where none of the requests revokes it."""
    if token.startswith("ghs_"):
        return BY_ITSELF
    if token.startswith("gho_") and endpoints.github_app:
        return BY_APP
    if token.startswith(_CREDENTIALS):
        return LEAKED_CREDENTIALS
    return (
        "GitHub has no request that revokes a token of this kind. Its owner revokes it in GitHub under "
        "Settings, Applications; an organisation's owner under its Settings, Third-party Access."
    )


def hashed_query(token: str) -> str:
    """Return the audit log query that finds what a token did.

    GitHub Docs, "Identifying audit log events performed by an access token".
    """
    digest = b64encode(hashlib.sha256(token.encode()).digest()).decode("ascii")
    return f'hashed_token:"{digest}"'

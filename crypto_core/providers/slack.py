"""Slack: its requests and what its answers say (Slack API, auth.test and auth.revoke).

Slack answers failures with HTTP 200 as well: only `ok` and `error` tell.
"""

from __future__ import annotations

from crypto_core.providers.answers import Liveness
from crypto_core.providers.messages import (
    NEVER_ASKED,
    REFRESH_PREFIXES,
    Accepted,
    ProviderAnswer,
    Request,
    RevocationMethod,
    Said,
    bearer,
    unexpected,
    unknown,
)
from crypto_core.text.cleaning import clean

_DEAD = frozenset({"invalid_auth", "token_revoked", "account_inactive", "token_expired"})


def question(base: str, token: str) -> Request | str:
    """Return the request that asks about a token, or why there is none."""
    if token.startswith(REFRESH_PREFIXES):
        return NEVER_ASKED
    return Request("POST", f"{base}/api/auth.test", bearer(token))


def read(answer: ProviderAnswer) -> Said:
    """Return what the answer to `question` says."""
    said = answer.fields()
    if answer.status != 200 or not isinstance(said.get("ok"), bool):
        return unknown(unexpected(answer))
    if said["ok"]:
        user, team = clean(said.get("user"), 60), clean(said.get("team"), 60)
        return Said(Liveness.ALIVE, "Slack takes it", f"{user} in {team}" if user and team else user or team)
    error = clean(said.get("error"), 60) or "no reason given"
    if error in _DEAD:
        return Said(Liveness.DEAD, f"Slack does not take it: {error}")
    return unknown(f"Slack says {error}")


def _revoked(answer: ProviderAnswer) -> Accepted:
    said = answer.fields()
    if answer.status != 200 or not isinstance(said.get("ok"), bool):
        return Accepted(False, unexpected(answer))
    if said["ok"]:
        revoked = said.get("revoked") is True
        return Accepted(
            revoked, "Slack revoked it" if revoked else "Slack took the request and revoked nothing"
        )
    return Accepted(False, f"Slack says {clean(said.get('error'), 60) or 'no reason'}")


AUTH_REVOKE = RevocationMethod(
    "slack",
    request=lambda base, tokens, endpoints: Request("POST", f"{base}/api/auth.revoke", bearer(*tokens)),
    accepted=_revoked,
)
"""By auth.revoke; the token itself is what asks for it."""


def revocation(token: str) -> RevocationMethod | str:
    """Return how a token is revoked, in words where auth.revoke does not take it."""
    if token.startswith("xox") and not token.startswith(REFRESH_PREFIXES):
        return AUTH_REVOKE
    where = "api.slack.com/apps, the app"
    if token.startswith("xapp-"):
        return f"An app-level token is deleted at {where}, Basic Information, App-Level Tokens."
    return (
        "A refresh token ends when the app is removed: in Slack, Administration, Manage apps; "
        f"or, for every workspace, at {where}, OAuth & Permissions, Revoke All OAuth Tokens."
    )

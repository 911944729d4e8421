"""Slack: its requests and what its answers say, of a token's life, its revocation and its abilities.

Slack Web API: auth.test (its x-oauth-scopes header), auth.revoke, users.info; "Permission
scopes". Slack answers failures with HTTP 200 as well: only `ok` and `error` tell.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from crypto_core.envelope.issuers import REFRESH_PREFIXES
from crypto_core.providers import messages
from crypto_core.providers.abilities import Ability, AbilityDraft, AbilityQuestion, AbilityQuestions
from crypto_core.providers.answers import Liveness
from crypto_core.providers.endpoints import SLACK, Endpoints
from crypto_core.providers.registry import Provider
from crypto_core.values.clean_text import clean

_DEAD = frozenset({"invalid_auth", "token_revoked", "account_inactive", "token_expired"})


def _question(target: messages.Target, token: str) -> messages.Request:
    return messages.Request("POST", f"{target.base}/api/auth.test", messages.bearer(token))


def _read(_target: messages.Target, _token: str, answer: messages.ProviderAnswer) -> messages.Said:
    said = answer.fields()
    if answer.status != 200 or not isinstance(said.get("ok"), bool):
        return messages.unknown(messages.unexpected(answer))
    if said["ok"]:
        whose = " in ".join(filter(None, (clean(said.get(name), 60) for name in ("user", "team"))))
        return messages.Said(Liveness.ALIVE, "Slack takes it", whose)
    error = clean(said.get("error"), 60) or "no reason given"
    if error in _DEAD:
        return messages.Said(Liveness.DEAD, f"Slack does not take it: {error}")
    return messages.unknown(f"Slack says {error}")


def _revoked(answer: messages.ProviderAnswer) -> messages.Accepted:
    said = answer.fields()
    if answer.status != 200 or not isinstance(said.get("ok"), bool):
        return messages.Accepted(False, messages.unexpected(answer))
    if said["ok"]:
        revoked = said.get("revoked") is True
        why = "Slack revoked it" if revoked else "Slack took the request and revoked nothing"
        return messages.Accepted(revoked, why)
    return messages.Accepted(False, f"Slack says {clean(said.get('error'), 60) or 'no reason'}")


AUTH_REVOKE = messages.RevocationMethod(
    "slack",
    request=lambda base, tokens, endpoints: messages.Request(
        "POST", f"{base}/api/auth.revoke", messages.bearer(*tokens)
    ),
    accepted=_revoked,
)
"""By auth.revoke; the token itself is what asks for it."""


def _revocation(token: str, _endpoints: Endpoints) -> messages.RevocationMethod | str:
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


_KINDS = {
    "xoxe.xoxb-": "bot token that expires",
    "xoxe.xoxp-": "user token that expires",
    "xoxb-": "bot token",
    "xoxp-": "user token",
    "xapp-": "app-level token",
}
_ADMIN = re.compile(r"admin(\..*|:.*)?")
_WRITES = re.compile(
    r".*(:write|\.write|write:).*|chat:.*|client|post|bot|incoming-webhook|admin.*|.*:manage.*"
)
_READS = re.compile(
    r".*:history|files:read|groups:.*|im:.*|mpim:.*|search:read.*|client|read|bot|admin.*|users:read.*|"
    r"channels:read|canvases:read|lists:read|team:read|usergroups:read"
)
_ID = re.compile(r"[A-Z0-9]{2,30}")
_ROLES = ("is_admin", "is_owner", "is_primary_owner")


def _read_identity(draft: AbilityDraft, answer: messages.ProviderAnswer) -> None:
    said = answer.fields()
    draft.kind = next((kind for prefix, kind in _KINDS.items() if draft.token.startswith(prefix)), "token")
    header = answer.headers.get("x-oauth-scopes")
    if header is None:
        why = "Slack's answer has no x-oauth-scopes header"
        draft.miss(why, Ability.SCOPES, Ability.WRITES, Ability.READS_PRIVATE)
    else:
        draft.add_scopes(header)
        scopes = draft.scopes or ()
        draft.writes = any(map(_WRITES.fullmatch, scopes))
        draft.reads_private = any(map(_READS.fullmatch, scopes))
        draft.infer(Ability.WRITES, Ability.READS_PRIVATE)
        if any(map(_ADMIN.fullmatch, scopes)):
            draft.admin = True
    draft.facts["user"] = said.get("user_id")
    _read_place(draft, said)
    draft.lasts = "within 12 hours of its issue" if draft.token.startswith("xoxe.") else "never"
    draft.infer(Ability.EXPIRY)


def _read_place(draft: AbilityDraft, said: Mapping[str, Any]) -> None:
    name = clean(said.get("team"), 100) or clean(said.get("team_id"), 40)
    organisation = clean(said.get("enterprise_id"), 40)
    if said.get("is_enterprise_install") is True:
        draft.add_places([f"organisation {organisation}"] if organisation else [])
        draft.miss("it is good for a whole organisation: its workspaces were not asked for", Ability.PLACES)
    elif name:
        draft.add_places([f"{name} (organisation {organisation})" if organisation else name])
        draft.places_whole = True
    else:
        draft.miss("Slack named no workspace", Ability.PLACES)


def _ask_user(draft: AbilityDraft) -> messages.Request | None:
    user = draft.facts.get("user")
    if draft.admin is True:
        return None
    if not isinstance(user, str) or not _ID.fullmatch(user):
        draft.miss("Slack named no user", Ability.ADMIN)
        return None
    if draft.scopes is not None and "users:read" not in draft.scopes and "read" not in draft.scopes:
        draft.miss("users:read missing", Ability.ADMIN)
        return None
    query = urlencode({"user": user})
    return messages.Request(
        "GET", f"{draft.target.base}/api/users.info?{query}", messages.bearer(draft.token)
    )


def _user_in(answer: messages.ProviderAnswer) -> dict[str, Any] | None:
    said = answer.fields()
    user = said.get("user")
    return user if answer.status == 200 and said.get("ok") is True and isinstance(user, dict) else None


def _read_user(draft: AbilityDraft, _: messages.ProviderAnswer, user: dict[str, Any]) -> None:
    roles = [user.get(role) for role in _ROLES]
    if any(role is True for role in roles):
        draft.admin = True
    elif all(role is False for role in roles):
        draft.admin = False
    else:
        draft.miss("Slack did not say what its user is", Ability.ADMIN)


def _refused(answer: messages.ProviderAnswer) -> str:
    said = answer.fields()
    error = clean(said.get("error"), 60)
    if error == "missing_scope":
        return f"{clean(said.get('needed'), 60) or 'a scope'} missing"
    return f"Slack says {error}" if error else messages.unexpected(answer)


def _throttled(answer: messages.ProviderAnswer) -> bool:
    return answer.status == 429 or answer.fields().get("error") == "ratelimited"


def _out_of_calls(answer: messages.ProviderAnswer) -> str:
    return "asked too often: Slack takes no more calls with it now" if _throttled(answer) else ""


_QUESTIONS = AbilityQuestions(
    first=_read_identity,
    further=(AbilityQuestion((Ability.ADMIN,), _ask_user, _user_in, _read_user),),
    refused=_refused,
    throttled=_throttled,
    exhausted=_out_of_calls,
)

PROVIDERS = (
    Provider(
        name="slack",
        base=SLACK,
        question=_question,
        said=_read,
        revocation=_revocation,
        abilities=_QUESTIONS,
        places=("team_id",),
    ),
)

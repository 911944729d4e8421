"""Jira Cloud and Confluence Cloud: their requests and what their answers say.

An API token is presented with its owner's e-mail address, at the site. An OAuth 2.0 (3LO) token is none of a
site's: it is presented alone, at api.atlassian.com, where every valid one may list the sites it is for
(Atlassian developer documentation, "Making calls to API"). No call revokes a token by its value.
"""

from __future__ import annotations

import re
from typing import Any

from crypto_core.providers import messages
from crypto_core.providers.answers import Liveness
from crypto_core.providers.endpoints import ATLASSIAN
from crypto_core.text.cleaning import clean

_API = ("ATATT", "ATCTT")
_EMAIL = re.compile(r"[^\s:@\x00-\x1f]{1,64}@[^\s:@\x00-\x1f]{1,190}")
_LOGIN = "x-seraph-loginreason"
_MYSELF = "/rest/api/3/myself"
_CURRENT = "/wiki/rest/api/user/current"
_RESOURCES = "/oauth/token/accessible-resources"


def is_email(text: str) -> bool:
    """Whether a text can be the name of basic authentication: one with a colon would end it early."""
    return _EMAIL.fullmatch(text) is not None


def is_api_token(token: str) -> bool:
    """Whether a token is an API token, of a person or of a service account."""
    return token.startswith(_API)


def question(target: messages.Target, token: str) -> messages.Request | str:
    """Return the request that asks about a token, or why there is none."""
    if not target.email:
        if is_api_token(token):
            return "an API token is checked with its owner's e-mail address, which the row does not have"
        return messages.Request("GET", target.base + _RESOURCES, signed_in(target, token))
    if token.startswith("eyJ"):
        return "an OAuth token, though the row has an e-mail address, as only API tokens need"
    # A site by its cloud id has its product in its path already.
    path = _CURRENT if target.provider == "confluence" else _MYSELF
    return messages.Request("GET", target.base + path, signed_in(target, token))


def signed_in(target: messages.Target, token: str) -> dict[str, str]:
    """Return the headers that present a token as its row's kind of sign-in demands."""
    headers = {"Accept": "application/json"}
    if target.forwarded:
        headers["X-Forwarded-Host"] = target.forwarded
    return headers | (messages.basic(target.email, token) if target.email else messages.bearer(token))


def read(answer: messages.ProviderAnswer, target: messages.Target) -> messages.Said:
    """Return what the answer to `question` says."""
    if not target.email:
        return _read_resources(answer)
    name = "Confluence" if target.provider == "confluence" else "Jira"
    if "AUTHENTICATED_FAILED" in answer.headers.get(_LOGIN, "").upper():
        return _rejected(name)
    said = answer.fields()
    if answer.status == 401:
        told = bool(said) or b"must be authenticated" in answer.body
        return _rejected(name) if told else messages.unknown(messages.unexpected(answer))
    if answer.status != 200:
        return messages.unknown(messages.unexpected(answer))
    if said.get("type") == "anonymous":
        return messages.unknown(f"{name} answered anonymously: the token was not checked")
    if not isinstance(said.get("accountId"), str) or not said["accountId"]:
        return messages.unknown(f"{name} answered without naming an account")
    whose = said.get("displayName") or said.get("publicName") or said["accountId"]
    return messages.Said(Liveness.ALIVE, f"{name} takes it", clean(whose, 100))


def _rejected(name: str) -> messages.Said:
    return messages.Said(Liveness.DEAD, f"{name} does not take it with the row's e-mail address")


def _read_resources(answer: messages.ProviderAnswer) -> messages.Said:
    document = answer.document()
    if answer.status == 200 and isinstance(document, list):
        return messages.Said(Liveness.ALIVE, "Atlassian takes it", _sites(document))
    if answer.status == 401 and isinstance(document, dict) and document:
        return messages.Said(Liveness.DEAD, "Atlassian does not take it")
    return messages.unknown(messages.unexpected(answer))


def _sites(document: list[Any]) -> str:
    names = [clean(site.get("name"), 40) for site in document[:3] if isinstance(site, dict)]
    more = f" and {len(document) - 3:,} more" if len(document) > 3 else ""
    return ", ".join(filter(None, names)) + more


def by_hand(token: str) -> str:
    """Return how a person revokes a token."""
    if is_api_token(token):
        return (
            "Atlassian revokes no API token by its value. Its owner deletes it at "
            "https://id.atlassian.com/manage-profile/security/api-tokens; an organisation's admin at "
            "https://admin.atlassian.com under Directory, Users, or with DELETE "
            f"{ATLASSIAN}/users/{{account_id}}/manage/api-tokens/{{tokenId}}. "
            "One token may serve both Jira and Confluence."
        )
    return (
        "Atlassian revokes no OAuth token by its value. Its user takes the app's access away at "
        "https://id.atlassian.com/manage-profile/apps; an organisation's admin at "
        "https://admin.atlassian.com under Security, Connected apps. An access token ends by itself within "
        "the hour, a refresh token does not."
    )

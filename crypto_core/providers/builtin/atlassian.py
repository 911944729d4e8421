"""Jira Cloud and Confluence Cloud: their requests and what their answers say.

An API token is presented with its owner's e-mail address, at the site. An OAuth 2.0 (3LO) token is none of a
site's: it is presented alone, at api.atlassian.com, where every valid one may list the sites it is for
(Atlassian developer documentation, "Making calls to API"). No call revokes a token by its value. Abilities:
Jira Cloud REST API v3 (mypermissions, project/search), Confluence Cloud REST API (spaces,
user/current).
"""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64decode
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from crypto_core.database.tokens.inventory import InventoryRow
from crypto_core.providers import messages
from crypto_core.providers.abilities import (
    MOST_LISTED,
    Ability,
    AbilityDraft,
    AbilityQuestion,
    AbilityQuestions,
    listed_in,
)
from crypto_core.providers.answers import ByHand, Liveness
from crypto_core.providers.endpoints import Endpoints, host_of, split_url
from crypto_core.providers.messages import ProviderAnswer, Request, Target
from crypto_core.providers.registry import Provider
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import RefusedError

ATLASSIAN = "https://api.atlassian.com"
_API = ("ATATT", "ATCTT")
_HOST = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*")
_SITE = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.(?:atlassian\.net|jira\.com)")
_BY_CLOUD_ID = re.compile(r"/ex/(?:jira|confluence)/[0-9a-f-]{36}")
"""Where tokens with scopes are taken: api.atlassian.com, with the site's cloud id."""
_SITE_COLUMNS = ("cloud_base_url", "base_url")
_NO_EMAIL = "an API token is checked with its owner's e-mail address, which the row does not have"
_EMAIL = re.compile(r"[^\s:@\x00-\x1f]{1,64}@[^\s:@\x00-\x1f]{1,190}")
"""The name of basic authentication: one with a colon would end it early."""
_LOGIN = "x-seraph-loginreason"
_MYSELF = "/rest/api/3/myself"
_CURRENT = "/wiki/rest/api/user/current"
_RESOURCES = "/oauth/token/accessible-resources"


def atlassian_site(text: str) -> str:
    """Return the base URL of the Atlassian site that a row names. Raises RefusedError for anything else."""
    if not text:
        raise RefusedError("The row names no site.")
    parts = split_url(text)
    host = parts.hostname if parts is not None else None
    if parts is None or host is None or not _HOST.fullmatch(host):
        raise RefusedError("What the row names as its site is no URL.")
    if parts.scheme != "https":
        raise RefusedError(f"The row's site {clean(host, 100)} is not named with https.")
    if "@" in parts.netloc or parts.port not in (None, 443):
        raise RefusedError(f"The row's site {clean(host, 100)} is named with a user or a port.")
    if host == host_of(ATLASSIAN) and (path := _BY_CLOUD_ID.match(parts.path)):
        return ATLASSIAN + path[0]
    if not _SITE.fullmatch(host):
        raise RefusedError(f"The row's site {clean(host, 100)} is none of Atlassian's.")
    return f"https://{host}"


def _target(row: InventoryRow, name: str, endpoints: Endpoints) -> Target | ByHand:
    shown = dict(row.shown)
    email = shown.get("email", "")
    if email and ("email" in row.altered or not _EMAIL.fullmatch(email)):
        return ByHand(row.ref, name, "what the row holds as its e-mail address is none")
    site = next((column for column in _SITE_COLUMNS if shown.get(column)), "")
    # Cleaned, an address may be another one's.
    named = shown.get(site, "") if site not in row.altered else ""
    if proxy := endpoints.of("atlassian"):
        return Target(row.ref, name, proxy, email, _forwarded(named))
    if not email:
        # An OAuth token is asked about without its site.
        return Target(row.ref, name, ATLASSIAN)
    try:
        return Target(row.ref, name, atlassian_site(named), email)
    except RefusedError as error:
        return ByHand(row.ref, name, error.message)


def _forwarded(named: str) -> str:
    """The site's host, for a proxy that stands before several sites; "" for one that is not Atlassian's."""
    try:
        return host_of(atlassian_site(named))
    except RefusedError:
        return ""


def _not_asked(target: Target, kind: str) -> str:
    return _NO_EMAIL if not target.email and "api" in kind else ""


def is_api_token(token: str) -> bool:
    return token.startswith(_API)


def _question(target: Target, token: str) -> Request | str:
    if not target.email:
        if is_api_token(token):
            return _NO_EMAIL
        return Request("GET", target.base + _RESOURCES, signed_in(target, token))
    if token.startswith("eyJ"):
        return "an OAuth token, though the row has an e-mail address, as only API tokens need"
    # A site by its cloud id has its product in its path already.
    path = _CURRENT if target.provider == "confluence" else _MYSELF
    return Request("GET", target.base + path, signed_in(target, token))


def signed_in(target: Target, token: str) -> dict[str, str]:
    """Return the headers that present a token as its row's kind of sign-in demands."""
    headers = {"Accept": "application/json"}
    if target.forwarded:
        headers["X-Forwarded-Host"] = target.forwarded
    return headers | (messages.basic(target.email, token) if target.email else messages.bearer(token))


def _read(target: Target, _token: str, answer: ProviderAnswer) -> messages.Said:
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


def _read_resources(answer: ProviderAnswer) -> messages.Said:
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


_ADMINISTERS = ("ADMINISTER", "SYSTEM_ADMIN")
_CHANGES = ("CREATE_ISSUES", "EDIT_ISSUES", "DELETE_ISSUES", "ADMINISTER_PROJECTS", "BULK_CHANGE")
_ASKED = (*_ADMINISTERS, *_CHANGES, "BROWSE_PROJECTS")
_WRITES = re.compile(r"(write|manage|delete|create|update|admin|import):.*|.*:(write|manage).*")
_ADMIN = re.compile(r"(manage|admin):.*|.*:jira-configuration|.*configuration.*")
_READS = re.compile(r"(read|search|view|export):.*|.*(content|page|issue|jira-work).*")
_NEVER_TOLD = "Atlassian tells an API token's expiry to its owner and its organisation's admins alone"


def _read_identity(draft: AbilityDraft, answer: ProviderAnswer) -> None:
    if draft.target.email:
        draft.kind = "API token" if is_api_token(draft.token) else "password or token"
        draft.add_places([draft.target.forwarded or urlsplit(draft.target.base).netloc])
        draft.miss("one API token is good for every site of its owner; others were not asked", Ability.PLACES)
        draft.miss("an API token without scopes may do all that its owner may", Ability.SCOPES)
        draft.miss(_NEVER_TOLD, Ability.EXPIRY)
        return
    draft.kind = "OAuth 2.0 access token"
    _read_sites(draft, answer)
    _read_end(draft)


def _read_sites(draft: AbilityDraft, answer: ProviderAnswer) -> None:
    document = answer.document()
    sites = [one for one in document if isinstance(one, dict)] if isinstance(document, list) else []
    scopes: dict[str, None] = {}
    told = bool(sites)
    for site in sites:
        draft.add_places([site.get("url") or site.get("name")])
        if isinstance(listed := site.get("scopes"), list):
            scopes |= dict.fromkeys(clean(one, 120) for one in listed[:MOST_LISTED])
        else:
            told = False
    draft.places_whole = isinstance(document, list) and len(sites) == len(document) <= MOST_LISTED
    if not told:
        why = "Atlassian's answer names no scopes" if sites else "it is for no site"
        draft.miss(why, Ability.SCOPES)
        draft.miss(why, Ability.WRITES, Ability.READS_PRIVATE, Ability.ADMIN)
        return
    draft.scopes = tuple(filter(None, scopes))[:MOST_LISTED]
    draft.writes = any(_WRITES.fullmatch(one) for one in draft.scopes)
    draft.reads_private = any(_READS.fullmatch(one) for one in draft.scopes) or draft.writes
    draft.infer(Ability.WRITES, Ability.READS_PRIVATE)
    if any(_ADMIN.fullmatch(one) for one in draft.scopes):
        draft.miss("its scopes let it administer; whether its user may was not asked", Ability.ADMIN)
    else:
        draft.admin = False
        draft.infer(Ability.ADMIN)


def _read_end(draft: AbilityDraft) -> None:
    """An access token is a JWT (RFC 7519), which says itself when it ends; nobody vouches for that here."""
    try:
        _, claims, _ = draft.token.split(".")
        end = json.loads(urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["exp"]
        draft.expires = datetime.fromtimestamp(float(end), UTC)
        draft.lasts = f"{draft.expires:%Y-%m-%d %H:%M} UTC"
        draft.infer(Ability.EXPIRY)
    except (ValueError, KeyError, TypeError, OverflowError, OSError, RecursionError):
        draft.miss("the token names no end that can be read; access tokens last an hour", Ability.EXPIRY)


def _at_site(product: str, path: str) -> Callable[[AbilityDraft], Request | None]:
    def request(draft: AbilityDraft) -> Request | None:
        if not draft.target.email or (draft.target.provider == "confluence") != (product == "confluence"):
            return None
        return Request("GET", draft.target.base + path, signed_in(draft.target, draft.token))

    return request


def _permissions_in(answer: ProviderAnswer) -> dict[str, Any] | None:
    told = answer.fields().get("permissions")
    return told if answer.status == 200 and isinstance(told, dict) else None


def _read_permissions(draft: AbilityDraft, _: ProviderAnswer, told: dict[str, Any]) -> None:
    has = {name: _has(told, name) for name in _ASKED}
    draft.add_permissions(name for name, value in has.items() if value)
    draft.admin = _any(has, _ADMINISTERS)
    draft.writes = True if draft.admin else _any(has, _CHANGES)
    draft.reads_private = True if draft.admin else has["BROWSE_PROJECTS"]
    # They are its owner's: a token with scopes may do less.
    drawn = (
        (Ability.ADMIN, draft.admin),
        (Ability.WRITES, draft.writes),
        (Ability.READS_PRIVATE, draft.reads_private),
    )
    draft.infer(*(ability for ability, _ in drawn))
    draft.miss("Jira's answer leaves it out", *(ability for ability, value in drawn if value is None))


def _has(told: Mapping[str, Any], name: str) -> bool | None:
    one = told.get(name)
    value = one.get("havePermission") if isinstance(one, dict) else None
    return value if isinstance(value, bool) else None


def _any(has: Mapping[str, bool | None], names: tuple[str, ...]) -> bool | None:
    values = [has[name] for name in names]
    return True if True in values else None if None in values else False


def _total_in(answer: ProviderAnswer) -> int | None:
    total = answer.fields().get("total")
    known = isinstance(total, int) and not isinstance(total, bool) and 0 <= total < 10**9
    return total if answer.status == 200 and known else None


def _read_projects(draft: AbilityDraft, _: ProviderAnswer, total: int) -> None:
    draft.projects = total


def _read_operations(draft: AbilityDraft, _: ProviderAnswer, listed: list[Any]) -> None:
    found = [
        (clean(one.get("operation"), 40), clean(one.get("targetType"), 40))
        for one in listed[:MOST_LISTED]
        if isinstance(one, dict)
    ]
    draft.add_permissions(f"{name} {on}" for name, on in found)
    draft.admin = ("administer", "application") in found
    if draft.admin:
        draft.writes = draft.reads_private = True
        draft.infer(Ability.WRITES, Ability.READS_PRIVATE)


def _read_spaces(draft: AbilityDraft, answer: ProviderAnswer, spaces: list[Any]) -> None:
    links = answer.fields().get("_links")
    if spaces:
        draft.reads_private = True
        draft.infer(Ability.READS_PRIVATE)
    elif draft.reads_private is None:
        draft.reads_private = False
    if isinstance(links, dict) and links.get("next"):
        draft.miss(f"at least {len(spaces):,} spaces: there are more", Ability.PROJECTS)
    else:
        draft.projects = len(spaces)
    if draft.projects == 0 and draft.writes is None:
        draft.writes = False
        draft.infer(Ability.WRITES)
    elif draft.writes is None:
        draft.miss("each space says what it may write there; spaces were not asked", Ability.WRITES)


_QUESTIONS = AbilityQuestions(
    first=_read_identity,
    further=(
        AbilityQuestion(
            (Ability.ADMIN, Ability.WRITES, Ability.READS_PRIVATE, Ability.PERMISSIONS),
            _at_site("jira", f"/rest/api/3/mypermissions?permissions={','.join(_ASKED)}"),
            _permissions_in,
            _read_permissions,
        ),
        AbilityQuestion(
            (Ability.PROJECTS,),
            _at_site("jira", "/rest/api/3/project/search?maxResults=1"),
            _total_in,
            _read_projects,
        ),
        AbilityQuestion(
            (Ability.ADMIN,),
            _at_site("confluence", "/wiki/rest/api/user/current?expand=operations"),
            listed_in("operations"),
            _read_operations,
        ),
        AbilityQuestion(
            (Ability.PROJECTS, Ability.READS_PRIVATE, Ability.WRITES),
            _at_site("confluence", "/wiki/api/v2/spaces?limit=250"),
            listed_in("results"),
            _read_spaces,
        ),
    ),
)


def _provider(name: str, *other_names: str) -> Provider:
    return Provider(
        name=name,
        question=_question,
        said=_read,
        revocation=lambda token, endpoints: by_hand(token),
        target=lambda row, endpoints: _target(row, name, endpoints),
        not_asked=_not_asked,
        other_names=other_names,
        abilities=_QUESTIONS,
        places=_SITE_COLUMNS,
    )


PROVIDERS = (_provider("jira", "atlassian"), _provider("confluence"))

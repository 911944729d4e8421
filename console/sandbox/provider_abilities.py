"""What the sandbox's providers answer when they are asked what a token can do."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import parse_qs

from console.sandbox.http_message import HttpAnswer, json_answer

Item = TypeVar("Item")
Query = Mapping[str, Sequence[str]]

_CLASSIC = ("ghp_", "gho_")
_ORGS = ("user", "read:org", "write:org", "admin:org")

_GITHUB_SCOPES = (
    ("repo",),
    ("repo", "read:org", "admin:org"),
    ("public_repo", "read:user"),
    ("read:org", "read:user"),
    ("repo", "workflow", "read:org"),
    (),
)
_NUMBERS = (0, 3, 12, 130, 250, 1_030)
_SLACK_SCOPES = (
    ("chat:write", "users:read", "channels:history"),
    ("chat:write",),
    ("users:read", "channels:read"),
    ("admin", "users:read", "chat:write"),
    ("incoming-webhook",),
)
_ATLASSIAN_SCOPES = (
    ("read:jira-work", "read:jira-user"),
    ("read:jira-work", "write:jira-work", "offline_access"),
    ("read:jira-work", "write:jira-work", "manage:jira-configuration"),
)
_ORGANISATIONS = ("acme", "globex", "initech", "umbrella")
PERMISSIONS = ("ADMINISTER", "SYSTEM_ADMIN", "CREATE_ISSUES", "EDIT_ISSUES", "DELETE_ISSUES")
EXPIRY = datetime(2031, 3, 1, 12, 0, tzinfo=UTC)


def github_headers(token: str) -> list[tuple[str, str]]:
    truth = truth_of(token)
    headers = [("X-RateLimit-Limit", "5000"), ("X-RateLimit-Remaining", "4990")]
    if token.startswith(_CLASSIC):
        headers += [("X-OAuth-Scopes", ", ".join(truth.scopes)), ("X-Accepted-OAuth-Scopes", "")]
    if truth.expires is not None and token.startswith(("ghp_", "github_pat_")):
        told = f"{truth.expires:%Y-%m-%d %H:%M:%S} UTC"
        headers.append(("GitHub-Authentication-Token-Expiration", told))
    return headers


def github(path: str, query: str, token: str) -> HttpAnswer | None:
    """Return GitHub's answer to a token that it takes, None for another path."""
    truth, asked = truth_of(token), parse_qs(query)
    app = token.startswith(("ghs_", "ghu_", "github_pat_"))
    headers = github_headers(token) + ([("X-Accepted-GitHub-Permissions", "metadata=read")] if app else [])
    match path:
        case "/user/repos" | "/installation/repositories":
            installation = path.startswith("/installation")
            if installation != token.startswith("ghs_"):
                return json_answer(403, {"message": "Resource not accessible by integration"})
            seen = visible(token)
            page, more = _page(seen, asked)
            headers += _more(more, path)
            if truth.hidden and not installation:
                headers.append(("X-GitHub-SSO", "partial-results; organizations=21955855"))
            listed = [_repository(one, installation=installation) for one in page]
            document = {"total_count": len(seen), "repositories": listed} if installation else listed
            return json_answer(200, document, *headers)
        case "/user/orgs":
            if not app and not set(_ORGS).intersection(truth.scopes):
                needed = "You need at least read:org scope or user scope to list your organizations."
                return json_answer(403, {"message": needed}, *headers)
            names = [] if token.startswith("github_pat_") else truth.organisations
            some, more = _page(names, asked)
            return json_answer(200, [{"login": name, "id": 1} for name in some], *headers, *_more(more, path))
        case "/user/installations":
            installed = [
                {"id": 1, "account": {"login": name}, "permissions": dict(truth.app_permissions)}
                for name in truth.organisations or ("someone",)
            ]
            return json_answer(200, {"total_count": len(installed), "installations": installed}, *headers)
        case _:
            return None


def visible(token: str) -> list[Repository]:
    """Return the repositories that GitHub lists to a token: without scope repo the public ones alone."""
    truth = truth_of(token)
    whole = not token.startswith(_CLASSIC) or "repo" in truth.scopes
    return [one for one in truth.repositories if whole or one.visibility == "public"]


def _repository(one: Repository, *, installation: bool) -> dict[str, Any]:
    role = {"admin": one.admin, "push": one.push, "pull": True}
    return {
        "id": one.number,
        "full_name": f"{one.owner or 'someone'}/repository-{one.number}",
        "owner": {"login": one.owner or "someone", "type": "Organization" if one.owner else "User"},
        "private": one.visibility != "public",
        "visibility": one.visibility,
        "permissions": {"admin": False, "push": False, "pull": False} if installation else role,
    }


def _page(items: Sequence[Item], asked: Query) -> tuple[Sequence[Item], bool]:
    size, page = int(asked.get("per_page", ["30"])[0]), int(asked.get("page", ["1"])[0])
    return items[(page - 1) * size : page * size], len(items) > page * size


def _more(more: bool, path: str) -> list[tuple[str, str]]:
    return [("Link", f'<https://api.github.com{path}?page=9>; rel="next"')] if more else []


def slack_scopes(token: str) -> tuple[str, str]:
    return "x-oauth-scopes", ",".join(truth_of(token).slack_scopes)


def slack_identity(token: str) -> dict[str, Any]:
    """Return what auth.test says of a token beyond its user's and workspace's name."""
    truth = truth_of(token)
    said: dict[str, Any] = {"user_id": "U0DEMO", "team_id": "T0DEMO"}
    if token.startswith("xoxb-"):
        said["bot_id"] = "B0DEMO"
    if truth.everywhere:
        said |= {"enterprise_id": "E0DEMO", "is_enterprise_install": True}
    return said


def slack(path: str, query: str, token: str) -> HttpAnswer | None:
    """Return Slack's answer to a token that it takes, None for another path."""
    truth, asked = truth_of(token), parse_qs(query)
    match path:
        case "/api/users.info":
            if "users:read" not in truth.slack_scopes:
                return json_answer(200, {"ok": False, "error": "missing_scope", "needed": "users:read"})
            user = {"id": asked.get("user", [""])[0], "is_owner": False, "is_primary_owner": False}
            return json_answer(200, {"ok": True, "user": user | {"is_admin": truth.slack_admin}})
        case _:
            return None


def sites(token: str, name: str) -> list[dict[str, Any]]:
    truth = truth_of(token)
    return [
        {
            "id": f"{number:08d}-0000-4000-8000-000000000000",
            "name": name or "Keydeck Demo",
            "url": url,
            "scopes": list(truth.site_scopes),
        }
        for number, url in enumerate(truth.sites)
    ]


def atlassian(path: str, query: str, token: str) -> HttpAnswer | None:
    """Return a site's answer to a token that it takes, None for another path."""
    truth, asked = truth_of(token), parse_qs(query)
    match path:
        case "/rest/api/3/mypermissions":
            wanted = asked.get("permissions", [""])[0].split(",")
            has = {name: {"key": name, "havePermission": _has(truth, name)} for name in wanted}
            return json_answer(200, {"permissions": has})
        case "/rest/api/3/project/search":
            return json_answer(200, {"total": truth.projects, "values": [], "isLast": True})
        case "/wiki/api/v2/spaces":
            most = int(asked.get("limit", ["25"])[0])
            found = [{"id": str(number), "key": f"S{number}"} for number in range(min(truth.spaces, most))]
            links = {"next": "/wiki/api/v2/spaces?cursor=abc"} if truth.spaces > most else {}
            return json_answer(200, {"results": found, "_links": links})
        case _:
            return None


def more_of_account(query: str, token: str, *, wiki: bool) -> dict[str, Any]:
    """Return what a site says of an account beyond its name, where it is asked to expand that."""
    truth = truth_of(token)
    expanded = parse_qs(query).get("expand", [""])[0]
    if wiki and expanded == "operations":
        may = [("use", "application"), *([("administer", "application")] if truth.administers_wiki else [])]
        return {"operations": [{"operation": one, "targetType": on} for one, on in may]}
    return {}


def _has(truth: TokenTruth, name: str) -> bool:
    return name in truth.permissions or (name not in PERMISSIONS and truth.projects > 0)


@dataclass(frozen=True, slots=True)
class Repository:
    number: int
    owner: str
    """ "" for the account itself."""
    visibility: str
    push: bool
    admin: bool


@dataclass(frozen=True, slots=True)
class TokenTruth:
    """What one token can do. Of each provider's part only that of the token's own provider means anything."""

    scopes: tuple[str, ...]
    repositories: tuple[Repository, ...]
    organisations: tuple[str, ...]
    hidden: int
    """Organisations for which single sign-on is missing."""
    expires: datetime | None
    app_permissions: tuple[tuple[str, str], ...]
    slack_scopes: tuple[str, ...]
    everywhere: bool
    """Whether it is for a whole Slack organisation."""
    slack_admin: bool
    sites: tuple[str, ...]
    site_scopes: tuple[str, ...]
    permissions: tuple[str, ...]
    """Of a Jira user."""
    projects: int
    spaces: int
    administers_wiki: bool


class _Dice:
    """Numbers that the token determines, whatever happens in between."""

    def __init__(self, token: str) -> None:
        self._token = token

    def below(self, name: str, most: int) -> int:
        drawn = hashlib.sha256(f"{name}|{self._token}".encode("utf-8", "replace")).digest()
        return int.from_bytes(drawn[:4], "big") % most

    def one(self, name: str, choices: Sequence[Item]) -> Item:
        return choices[self.below(name, len(choices))]

    def chance(self, name: str, of: int) -> bool:
        return self.below(name, of) == 0


def truth_of(token: str) -> TokenTruth:
    dice = _Dice(token)
    organisations = _ORGANISATIONS[: dice.below("organisations", 4)]
    return TokenTruth(
        scopes=dice.one("scopes", _GITHUB_SCOPES),
        repositories=_repositories(dice, organisations),
        organisations=organisations,
        hidden=int(dice.chance("sso", 4)),
        expires=EXPIRY if dice.chance("expires", 2) else None,
        app_permissions=dice.one(
            "app",
            ((("contents", "read"), ("metadata", "read")), (("contents", "write"), ("metadata", "read"))),
        ),
        slack_scopes=dice.one("slack", _SLACK_SCOPES),
        everywhere=dice.chance("everywhere", 4),
        slack_admin=dice.chance("slack admin", 3),
        sites=tuple(f"https://demo-{number}.atlassian.net" for number in range(1 + dice.below("sites", 3))),
        site_scopes=dice.one("site scopes", _ATLASSIAN_SCOPES),
        permissions=dice.one("permissions", ((), ("CREATE_ISSUES", "EDIT_ISSUES"), PERMISSIONS)),
        projects=dice.one("projects", (0, 1, 40)),
        spaces=dice.one("spaces", (0, 1, 7, 300)),
        administers_wiki=dice.chance("wiki admin", 4),
    )


def _repositories(dice: _Dice, organisations: Sequence[str]) -> tuple[Repository, ...]:
    owners = ("", *organisations)
    push, admin = dice.chance("push", 2), dice.chance("repository admin", 4)
    return tuple(
        Repository(
            number,
            owners[number % len(owners)],
            ("public", "private", "private", "internal")[number % 4],
            push and number % 2 == 0,
            admin and number == 1,
        )
        for number in range(dice.one("repositories", _NUMBERS))
    )

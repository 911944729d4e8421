"""What each made-up token can do at the sandbox's providers: derived from the token alone, so that it can be
told again without being kept."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

Choice = TypeVar("Choice")

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


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository as a token's account sees it."""

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
    workspaces: tuple[str, ...]
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
    writes_wiki: bool


class _Dice:
    """Numbers that the token determines, whatever happens in between."""

    def __init__(self, token: str) -> None:
        self._token = token

    def below(self, name: str, most: int) -> int:
        drawn = hashlib.sha256(f"{name}|{self._token}".encode("utf-8", "replace")).digest()
        return int.from_bytes(drawn[:4], "big") % most

    def one(self, name: str, choices: Sequence[Choice]) -> Choice:
        return choices[self.below(name, len(choices))]

    def chance(self, name: str, of: int) -> bool:
        return self.below(name, of) == 0


def truth_of(token: str) -> TokenTruth:
    """Return what a token can do; the same for the same token."""
    dice = _Dice(token)
    organisations = _ORGANISATIONS[: dice.below("organisations", 4)]
    everywhere = dice.chance("everywhere", 4)
    workspaces = dice.one("workspaces", (1, 2, 130)) if everywhere else 1
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
        workspaces=tuple(f"Workspace {number}" for number in range(workspaces)),
        everywhere=everywhere,
        slack_admin=dice.chance("slack admin", 3),
        sites=tuple(f"https://demo-{number}.atlassian.net" for number in range(1 + dice.below("sites", 3))),
        site_scopes=dice.one("site scopes", _ATLASSIAN_SCOPES),
        permissions=dice.one("permissions", ((), ("CREATE_ISSUES", "EDIT_ISSUES"), PERMISSIONS)),
        projects=dice.one("projects", (0, 1, 40)),
        spaces=dice.one("spaces", (0, 1, 7, 300)),
        administers_wiki=dice.chance("wiki admin", 4),
        writes_wiki=dice.chance("wiki writes", 2),
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

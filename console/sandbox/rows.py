"""Which connections the sandbox has: whose they are, when they were made, how each token is stored.

Everything follows from the seed; nothing here knows a token or a key.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from datetime import datetime, timedelta

from console.sandbox.corruption import Corruption
from console.sandbox.provider_tokens import Style
from console.sandbox.timeline import Era, at
from crypto_core.envelope import Format

MIN_CONNECTIONS = 20
"""With fewer, not every kind of token would occur."""

_NAMES = (
    "aurora", "basalt", "cobalt", "dynamo", "ember", "fathom", "garnet", "harbor", "indigo", "juniper",
    "kestrel", "lumen", "meridian", "nimbus", "onyx", "pylon", "quartz", "ripple", "sierra", "tundra",
    "umbra", "vertex", "willow", "xenon", "yonder", "zephyr", "anchor", "birch", "cinder", "delta",
    "estuary", "falcon", "glacier", "horizon", "ivory", "jasper", "kelvin", "lagoon", "mosaic", "nectar",
)  # fmt: skip
ORGANISATIONS = tuple(f"org-{name}" for name in _NAMES)
_WEIGHTS = [1 / (rank + 1.5) for rank in range(len(ORGANISATIONS))]

_CORRUPT: dict[str, tuple[Corruption, ...]] = {
    "gh_connection": (
        Corruption.TRUNCATED,
        Corruption.FLIPPED_BIT,
        Corruption.SWAPPED_DATA_KEY,
        Corruption.GARBAGE,
    ),
    "jira_connection": (Corruption.DOUBLE_BASE64, Corruption.MISSING_PADDING),
    "slack_connection": (Corruption.EMPTY,),
    "confluence_connection": (Corruption.WRONG_ALPHABET,),
}
_PLAINTEXT_SHARE = {"slack_connection": 0.6, "confluence_connection": 0.6}
_DEV_SHARE = {"gh_connection": 0.015}
_REFRESH_EVERY = {"gh_connection": 4, "jira_connection": 4}


@dataclass(frozen=True, slots=True)
class PlannedToken:
    """A token to be made: its column, what the provider issued, and how it is to be stored.

    `member` is its name in a secrets column's document.
    """

    column: str
    style: Style
    format: Format
    corruption: Corruption | None = None
    member: str | None = None


@dataclass(frozen=True, slots=True)
class PlannedRow:
    """One connection. `values` are the columns that hold no token, ready for COPY; None is NULL."""

    table: str
    row_id: str
    era: Era
    sealed_at: datetime
    tokens: tuple[PlannedToken, ...]
    values: dict[str, str | None]


@dataclass(frozen=True, slots=True)
class _RowDraft:
    era: Era
    sealed_at: datetime
    format: Format
    corruption: Corruption | None
    refreshed: bool


def sizes(connections: int) -> dict[str, int]:
    """Return the number of rows of each table: half GitHub, a quarter Jira, the rest Slack and Confluence."""
    gh, jira, slack = connections // 2, connections // 4, connections * 15 // 100
    return {
        "gh_connection": gh,
        "jira_connection": jira,
        "slack_connection": slack,
        "confluence_connection": connections - gh - jira - slack,
    }


def secret_sizes(secrets: int) -> dict[str, int]:
    """Return the number of rows of each table with a secrets column: two thirds are connectors."""
    connectors = secrets * 2 // 3
    return {"connectors": connectors, "mcp_servers": secrets - connectors}


def plan_rows(connections: int, seed: int, now: datetime, *, secrets: int = 0) -> list[PlannedRow]:
    """Return all rows, table by table, ids rising with the time they were made.

    `secrets` is the number of rows in tables with a secrets column. Raises ValueError for fewer connections
    than `MIN_CONNECTIONS`.
    """
    if connections < MIN_CONNECTIONS:
        raise ValueError(f"{connections} connections: at least {MIN_CONNECTIONS} are needed.")
    rows = []
    for table, size in (sizes(connections) | secret_sizes(secrets)).items():
        draw = random.Random(f"{seed}/{table}")  # noqa: S311  made-up data, nothing secret
        drafts = sorted(_drafts(table, size, draw, now), key=lambda draft: draft.sealed_at)
        rows += [_ROW_OF[table](number, draft, draw) for number, draft in enumerate(drafts, start=1)]
    return rows


def _drafts(table: str, size: int, draw: random.Random, now: datetime) -> list[_RowDraft]:
    corrupt = _CORRUPT.get(table, ())
    rest = size - len(corrupt)
    plaintext = round(rest * _PLAINTEXT_SHARE.get(table, 0.0))
    dev = max(1, round(size * _DEV_SHARE[table])) if table in _DEV_SHARE else 0
    drafts = [_draft(draw.random(), now, Format.V1, kind) for kind in corrupt]
    drafts += [_draft(draw.random(), now, Format.PLAINTEXT) for _ in range(plaintext)]
    drafts += [_draft(draw.random(), now, Format.DEV) for _ in range(dev)]
    healthy = rest - plaintext - dev
    # Evenly spaced, so that even twenty connections have some under every key material.
    every = _REFRESH_EVERY.get(table)
    for i in range(healthy):
        refreshed = every is not None and i % every == every // 2
        drafts.append(_draft((i + 0.5) / healthy, now, Format.V1, refreshed=refreshed))
    return drafts


def _draft(
    quantile: float,
    now: datetime,
    format_: Format,
    corruption: Corruption | None = None,
    *,
    refreshed: bool = False,
) -> _RowDraft:
    era, part = at(quantile)
    return _RowDraft(era, era.moment(now, part), format_, corruption, refreshed)


def _github(number: int, draft: _RowDraft, draw: random.Random) -> PlannedRow:
    org = _organisation(draw)
    kind = "user" if draft.refreshed else draw.choices(("oauth", "installation", "personal"), (6, 3, 1))[0]
    style = {
        "user": Style.GITHUB_USER,
        "oauth": Style.GITHUB_OAUTH,
        "installation": Style.GITHUB_INSTALLATION,
        "personal": Style.GITHUB_PERSONAL,
    }[kind]
    scopes = draw.choice((["repo", "read:org"], ["repo"], ["repo", "workflow"], ["read:org", "read:user"]))
    tokens = [PlannedToken("access_token", style, draft.format, draft.corruption)]
    if draft.refreshed:
        tokens.append(PlannedToken("refresh_token", Style.GITHUB_REFRESH, Format.V1))
    values = {
        "org_id": org,
        "user_id": _user(draw),
        "token_type": kind,
        "installation_id": str(draw.randrange(10_000_000, 90_000_000)) if kind == "installation" else None,
        "expires_at": _expiry(draft, draw),
        "scopes": json.dumps(scopes),
        "created_at": draft.sealed_at.isoformat(),
    }
    return PlannedRow("gh_connection", f"gh-{number}", draft.era, draft.sealed_at, tuple(tokens), values)


def _jira(number: int, draft: _RowDraft, draw: random.Random) -> PlannedRow:
    org = _organisation(draw)
    kind = "oauth" if draft.refreshed else draw.choices(("oauth", "api_token"), (2, 1))[0]
    style = Style.ATLASSIAN_OAUTH if kind == "oauth" else Style.ATLASSIAN_API
    scopes = draw.choice((["read:jira-work"], ["read:jira-work", "write:jira-work"], ["read:me"]))
    tokens = [PlannedToken("access_token", style, draft.format, draft.corruption)]
    if draft.refreshed:
        tokens.append(PlannedToken("refresh_token", Style.ATLASSIAN_REFRESH, Format.V1))
    values = {
        "org_id": org,
        "user_id": _user(draw),
        "cloud_base_url": _site(org),
        "token_type": kind,
        "expires_at": _expiry(draft, draw),
        "scopes": json.dumps(scopes),
        "created_at": draft.sealed_at.isoformat(),
    }
    return PlannedRow("jira_connection", f"jira-{number}", draft.era, draft.sealed_at, tuple(tokens), values)


def _slack(number: int, draft: _RowDraft, draw: random.Random) -> PlannedRow:
    team = "T0" + "".join(draw.choices("ABCDEFGHJKLMNPQRSTUVWXYZ23456789", k=9))
    values = {"org_id": _organisation(draw), "team_id": team, **_made_and_changed(draft, draw)}
    token = PlannedToken("bot_token", Style.SLACK_BOT, draft.format, draft.corruption)
    return PlannedRow("slack_connection", str(number), draft.era, draft.sealed_at, (token,), values)


def _confluence(number: int, draft: _RowDraft, draw: random.Random) -> PlannedRow:
    org = _organisation(draw)
    values = {
        "org_id": org,
        "base_url": f"{_site(org)}/wiki",
        "email": f"bot-{draw.randrange(100, 1000)}@{org.removeprefix('org-')}.example",
        **_made_and_changed(draft, draw),
    }
    token = PlannedToken("access_token", Style.ATLASSIAN_API, draft.format, draft.corruption)
    return PlannedRow("confluence_connection", str(number), draft.era, draft.sealed_at, (token,), values)


_CONNECTORS: dict[str, tuple[tuple[str, Style], ...]] = {
    "slack": (("bot_token", Style.SLACK_BOT), ("signing_secret", Style.CLIENT_SECRET)),
    "github": (("token", Style.GITHUB_PERSONAL),),
    "jira": (("api_token", Style.ATLASSIAN_API),),
    "teams": (("client_secret", Style.CLIENT_SECRET), ("refresh_token", Style.CLIENT_SECRET)),
    "zoom": (("client_secret", Style.CLIENT_SECRET), ("webhook_secret", Style.CLIENT_SECRET)),
}
"""What a connector of each provider keeps in its document."""


def _connector(number: int, draft: _RowDraft, draw: random.Random) -> PlannedRow:
    provider = draw.choice(tuple(_CONNECTORS))
    values: dict[str, str | None] = {
        "user_id": _user(draw),
        "provider": provider,
        "name": f"{provider}-{number}",
        "created_at": draft.sealed_at.isoformat(),
    }
    tokens = tuple(
        PlannedToken("secret_json", style, draft.format, draft.corruption, member)
        for member, style in _CONNECTORS[provider]
    )
    return PlannedRow("connectors", str(number), draft.era, draft.sealed_at, tokens, values)


def _mcp_server(number: int, draft: _RowDraft, draw: random.Random) -> PlannedRow:
    org = _organisation(draw)
    kind = draw.choice(("bearer", "oauth"))
    members = ("token",) if kind == "bearer" else ("client_secret", "refresh_token")
    values: dict[str, str | None] = {
        "name": f"mcp-{number}",
        "url": f"https://mcp.{org.removeprefix('org-')}.example/sse",
        "user_id": _user(draw),
        "org_id": org,
        "auth_type": kind,
        "created_at": draft.sealed_at.isoformat(),
    }
    tokens = tuple(
        PlannedToken("secret_json", Style.CLIENT_SECRET, draft.format, draft.corruption, member)
        for member in members
    )
    return PlannedRow("mcp_servers", str(number), draft.era, draft.sealed_at, tokens, values)


_ROW_OF = {
    "connectors": _connector,
    "mcp_servers": _mcp_server,
    "gh_connection": _github,
    "jira_connection": _jira,
    "slack_connection": _slack,
    "confluence_connection": _confluence,
}


def _organisation(draw: random.Random) -> str:
    return draw.choices(ORGANISATIONS, _WEIGHTS)[0]


def _user(draw: random.Random) -> str:
    return f"user-{draw.getrandbits(32):08x}"


def _site(organisation: str) -> str:
    # A reserved domain (RFC 2606): no generated token is ever sent to somebody's real site.
    return f"https://{organisation.removeprefix('org-')}.atlassian.example"


def _expiry(draft: _RowDraft, draw: random.Random) -> str | None:
    if not draft.refreshed:
        return None
    return (draft.sealed_at + timedelta(days=draw.randrange(90, 1200))).isoformat()


def _made_and_changed(draft: _RowDraft, draw: random.Random) -> dict[str, str | None]:
    """The token was sealed at the row's last change, up to 60 days after it was made."""
    made = draft.sealed_at - timedelta(days=draw.choice((0, 0, 1, 7, 30, 60)))
    return {"created_at": made.isoformat(), "updated_at": draft.sealed_at.isoformat()}

"""Rows of the platform's tables that hold tokens of the test's own, written past Keydeck."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Engine, text

from crypto_core.database.tokens.tables import PLATFORM_TABLES
from crypto_core.values.references import TokenRef

_GITHUB = text(
    "INSERT INTO gh_connection (id, org_id, user_id, access_token, token_type, scopes, created_at)"
    " VALUES (:id, :org, 'user-new', :stored, 'oauth', '[]', now())"
)
_SLACK = text(
    "INSERT INTO slack_connection (org_id, team_id, bot_token, created_at, updated_at)"
    " VALUES ('acme', 'T1', :stored, coalesce(:at, clock_timestamp()), now()) RETURNING id::text"
)


def put(platform: Engine, ref: TokenRef, stored: str | None) -> None:
    """Store another value as a token that is there."""
    statement = text(f"UPDATE {ref.table} SET {ref.column} = :stored WHERE id::text = :id")
    with platform.begin() as connection:
        assert connection.execute(statement, {"stored": stored, "id": ref.row_id}).rowcount == 1


def connect_github(platform: Engine, row_id: str, stored: str, organisation: str = "org-new") -> TokenRef:
    """Store a token as that of a connection of its own."""
    with platform.begin() as connection:
        connection.execute(_GITHUB, {"id": row_id, "stored": stored, "org": organisation})
    return TokenRef("gh_connection", "access_token", row_id)


def connect_slack(
    platform: Engine, *stored: str, at: datetime | None = None, alone: bool = False
) -> tuple[TokenRef, ...]:
    """Store each as the token of a connection of its own; `alone` leaves no other token anywhere."""
    with platform.begin() as connection:
        if alone:
            for table in PLATFORM_TABLES:
                connection.execute(text(f"TRUNCATE {table.name}"))
        ids = [connection.scalar(_SLACK, {"stored": one, "at": at}) for one in stored]
    return tuple(TokenRef("slack_connection", "bot_token", row_id) for row_id in ids)

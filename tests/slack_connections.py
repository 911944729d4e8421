"""Connections to Slack with tokens of the test's own."""

from __future__ import annotations

from sqlalchemy import Engine, text

from crypto_core.database.tokens.tables import PLATFORM_TABLES

_INSERT = text(
    "INSERT INTO slack_connection (org_id, team_id, bot_token, created_at, updated_at)"
    " VALUES ('acme', 'T1', :token, clock_timestamp(), now())"
)


def connect(platform: Engine, *stored: str, alone: bool = False) -> None:
    """Store each as the token of a connection of its own; `alone` leaves no other token anywhere."""
    with platform.begin() as connection:
        if alone:
            for table in PLATFORM_TABLES:
                connection.execute(text(f"TRUNCATE {table.name}"))
        for token in stored:
            connection.execute(_INSERT, {"token": token})

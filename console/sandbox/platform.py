"""The platform's four tables, as its own migrations make them. Only the sandbox creates them."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, DateTime, Engine, Identity, Integer, MetaData, Table, Text

metadata = MetaData()


def _moment(name: str, *, nullable: bool = False) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=nullable)


def _text(name: str, *, nullable: bool = False) -> Column[str]:
    return Column(name, Text, nullable=nullable)


gh_connection = Table(
    "gh_connection",
    metadata,
    Column("id", Text, primary_key=True),
    _text("org_id"),
    _text("user_id"),
    _text("access_token"),
    _text("refresh_token", nullable=True),
    _text("token_type"),
    Column("installation_id", BigInteger),
    _moment("expires_at", nullable=True),
    Column("scopes", JSON, nullable=False),
    _moment("created_at"),
)

jira_connection = Table(
    "jira_connection",
    metadata,
    Column("id", Text, primary_key=True),
    _text("org_id"),
    _text("user_id"),
    _text("cloud_base_url"),
    _text("access_token"),
    _text("refresh_token", nullable=True),
    _text("token_type"),
    _moment("expires_at", nullable=True),
    Column("scopes", JSON, nullable=False),
    _moment("created_at"),
)

slack_connection = Table(
    "slack_connection",
    metadata,
    Column("id", Integer, Identity(), primary_key=True),
    _text("org_id"),
    _text("team_id"),
    _text("bot_token"),
    _moment("created_at"),
    _moment("updated_at"),
)

confluence_connection = Table(
    "confluence_connection",
    metadata,
    Column("id", Integer, Identity(), primary_key=True),
    _text("org_id"),
    _text("base_url"),
    _text("email"),
    _text("access_token"),
    _moment("created_at"),
    _moment("updated_at"),
)


def create_tables(engine: Engine) -> None:
    """Create the tables where they aren't there yet; the role of `engine` owns them."""
    metadata.create_all(engine)

"""The platform's six tables, as its own migrations make them. Only the sandbox creates them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.types import TypeEngine

from crypto_core.database.connection.engine import connected, open_engine

metadata = sa.MetaData()


_MOMENT = sa.DateTime(timezone=True)
_TYPES: dict[str, TypeEngine[Any]] = {
    "installation_id": sa.BigInteger(),
    "scopes": sa.JSON(),
    "secret_json": sa.LargeBinary(),
    "expires_at": _MOMENT,
    "created_at": _MOMENT,
    "updated_at": _MOMENT,
}
"""Of the columns that hold no text."""
_NULLABLE = frozenset({"refresh_token", "installation_id", "expires_at", "secret_json"})


def _table(name: str, key: sa.Column[Any], *columns: str) -> sa.Table:
    others = [sa.Column[Any](one, _TYPES.get(one, sa.Text()), nullable=one in _NULLABLE) for one in columns]
    return sa.Table(name, metadata, key, *others)


gh_connection = _table(
    "gh_connection",
    sa.Column("id", sa.Text, primary_key=True),
    *("org_id", "user_id", "access_token", "refresh_token", "token_type"),
    *("installation_id", "expires_at", "scopes", "created_at"),
)
jira_connection = _table(
    "jira_connection",
    sa.Column("id", sa.Text, primary_key=True),
    *("org_id", "user_id", "cloud_base_url", "access_token", "refresh_token", "token_type"),
    *("expires_at", "scopes", "created_at"),
)
slack_connection = _table(
    "slack_connection",
    sa.Column("id", sa.Integer, sa.Identity(), primary_key=True),
    *("org_id", "team_id", "bot_token", "created_at", "updated_at"),
)
confluence_connection = _table(
    "confluence_connection",
    sa.Column("id", sa.Integer, sa.Identity(), primary_key=True),
    *("org_id", "base_url", "email", "access_token", "created_at", "updated_at"),
)
connectors = _table(
    "connectors",
    sa.Column("id", sa.Integer, sa.Identity(), primary_key=True),
    *("user_id", "provider", "name", "secret_json", "created_at"),
)
mcp_servers = _table(
    "mcp_servers",
    sa.Column("id", sa.Integer, sa.Identity(), primary_key=True),
    *("name", "url", "user_id", "org_id", "auth_type", "secret_json", "created_at"),
)


def platform_engine(url: str, *, read_only: bool = False) -> sa.Engine:
    """Return an engine of the platform's, whose tables are in schema public."""
    return open_engine(url, read_only=read_only).execution_options(schema_translate_map={None: "public"})


@contextmanager
def platform_connection(url: str, *, write: bool = False) -> Iterator[sa.Connection]:
    """Give a connection of the platform's, committed in the end where it writes. Raises DatabaseError."""
    engine = platform_engine(url, read_only=not write)
    try:
        with connected(engine, write=write) as connection:
            yield connection
    finally:
        engine.dispose()


def create_tables(engine: sa.Engine) -> None:
    """Create the tables where they aren't there yet; the role of `engine` owns them."""
    metadata.create_all(engine)

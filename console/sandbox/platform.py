"""The platform's six tables, as its own migrations make them. Only the sandbox creates them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Connection,
    DateTime,
    Engine,
    Identity,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
)
from sqlalchemy.types import TypeEngine

from crypto_core.database.connection.engine import connected, open_engine

metadata = MetaData()


_MOMENT = DateTime(timezone=True)
_TYPES: dict[str, TypeEngine[Any]] = {
    "installation_id": BigInteger(),
    "scopes": JSON(),
    "secret_json": LargeBinary(),
    "expires_at": _MOMENT,
    "created_at": _MOMENT,
    "updated_at": _MOMENT,
}
"""Of the columns that hold no text."""
_NULLABLE = frozenset({"refresh_token", "installation_id", "expires_at", "secret_json"})


def _table(name: str, key: Column[Any], *columns: str) -> Table:
    others = [Column[Any](one, _TYPES.get(one, Text()), nullable=one in _NULLABLE) for one in columns]
    return Table(name, metadata, key, *others)


gh_connection = _table(
    "gh_connection",
    Column("id", Text, primary_key=True),
    *("org_id", "user_id", "access_token", "refresh_token", "token_type"),
    *("installation_id", "expires_at", "scopes", "created_at"),
)
jira_connection = _table(
    "jira_connection",
    Column("id", Text, primary_key=True),
    *("org_id", "user_id", "cloud_base_url", "access_token", "refresh_token", "token_type"),
    *("expires_at", "scopes", "created_at"),
)
slack_connection = _table(
    "slack_connection",
    Column("id", Integer, Identity(), primary_key=True),
    *("org_id", "team_id", "bot_token", "created_at", "updated_at"),
)
confluence_connection = _table(
    "confluence_connection",
    Column("id", Integer, Identity(), primary_key=True),
    *("org_id", "base_url", "email", "access_token", "created_at", "updated_at"),
)
connectors = _table(
    "connectors",
    Column("id", Integer, Identity(), primary_key=True),
    *("user_id", "provider", "name", "secret_json", "created_at"),
)
mcp_servers = _table(
    "mcp_servers",
    Column("id", Integer, Identity(), primary_key=True),
    *("name", "url", "user_id", "org_id", "auth_type", "secret_json", "created_at"),
)


def platform_engine(url: str, *, read_only: bool = False) -> Engine:
    """Return an engine of the platform's, whose tables are in schema public."""
    return open_engine(url, read_only=read_only).execution_options(schema_translate_map={None: "public"})


@contextmanager
def platform_connection(url: str, *, write: bool = False) -> Iterator[Connection]:
    """Give a connection of the platform's, committed in the end where it writes. Raises DatabaseError."""
    engine = platform_engine(url, read_only=not write)
    try:
        with connected(engine, write=write) as connection:
            yield connection
    finally:
        engine.dispose()


def create_tables(engine: Engine) -> None:
    """Create the tables where they aren't there yet; the role of `engine` owns them."""
    metadata.create_all(engine)

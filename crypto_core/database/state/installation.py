"""Create Keydeck's own schema, or print its DDL for a DBA. The platform's tables are never touched."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine

from crypto_core.database.connection.engine import connected
from crypto_core.database.dialect import READ_ONLY
from crypto_core.database.qualified_sql import text
from crypto_core.database.schema import SCHEMA
from crypto_core.values import errors
from crypto_core.values.clean_text import clean

VERSION = "0020"
"""The schema's version: the last one in database/migrations."""

_MAY_READ = text("SELECT coalesce(has_table_privilege(to_regclass('keydeck.version'), 'SELECT'), false)")


def install(engine: Engine) -> bool:
    """Create or update the schema. Returns True if anything changed.

    Raises MissingGrantError if the role may not create it, DatabaseReadOnlyError, NewerSchemaError, else
    DatabaseError.
    """
    from alembic import command

    before = _writable_version(engine)
    try:
        with connected(engine, write=True) as connection:
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            after = _version(connection)
    except errors.MissingGrantError as error:
        raise errors.MissingGrantError(
            f"The database role may not create schema {SCHEMA}.",
            remedy="GRANT CREATE ON DATABASE to it, or have a DBA run the output of: keydeck init --sql.",
        ) from error
    return before != after


def ddl() -> str:
    """Return the statements that `install` would run in an empty database."""
    from alembic import command

    output = io.StringIO()
    with redirect_stdout(output):
        command.upgrade(_config(), "head", sql=True)
    return output.getvalue()


def require_schema(engine: Engine) -> None:
    """Pass where Keydeck's schema may be written: it is there, of this version, and the server takes writes.

    Raises DatabaseReadOnlyError, NewerSchemaError, MissingSchemaError, which an older one is too.
    """
    version = _writable_version(engine)
    if version is None:
        raise errors.MissingSchemaError(
            "Keydeck's own schema is not in this database, so no backup and no journal can be kept."
        )
    if version < VERSION:
        raise errors.MissingSchemaError(
            f"Keydeck's own schema is of version {version} here, and {VERSION} is needed.",
            remedy="Update it with: keydeck init.",
        )


def is_newer(connection: Connection) -> bool:
    """True where the schema is newer than this Keydeck, as far as the role may see: then nothing is kept."""
    if not connection.scalar(_MAY_READ):
        return False
    version = _version(connection)
    return version is not None and version > VERSION


def require_schemas(*engines: Engine) -> Callable[[], None]:
    """`require_schema` for each database: the journal may have one of its own."""

    def look() -> None:
        for engine in engines:
            require_schema(engine)

    return look


def _writable_version(engine: Engine) -> str | None:
    """The schema's version. Raises DatabaseReadOnlyError, NewerSchemaError for a newer one, DatabaseError."""
    with connected(engine, write=True) as connection:
        read_only, standby = connection.execute(READ_ONLY).one()
        if read_only:
            why = "it is a standby" if standby else "the server, the database or the role is set to read only"
            raise errors.DatabaseReadOnlyError(f"The database accepts no writes: {why}.")
        version = _version(connection)
    if version is not None and version > VERSION:
        raise errors.NewerSchemaError(
            f"Keydeck's own schema is of version {clean(version, 32)} here, and this Keydeck knows {VERSION}."
        )
    return version


def _version(connection: Any) -> str | None:
    if not connection.scalar(text("SELECT to_regclass('keydeck.version') IS NOT NULL")):
        return None
    version: str | None = connection.scalar(text("SELECT version_num FROM keydeck.version"))
    return version


def _config() -> Any:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return config

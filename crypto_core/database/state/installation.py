"""Create Keydeck's own schema, or print its DDL for a DBA. The platform's tables are never touched."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, text

from crypto_core.database.connection.engine import connected
from crypto_core.database.schema import SCHEMA
from crypto_core.errors import MissingGrantError, MissingSchemaError

VERSION = "0009"
"""The schema's version: the last one in database/migrations."""


def install(engine: Engine) -> bool:
    """Create or update the schema. Returns True if anything changed.

    Raises MissingGrantError if the role may not create it, else DatabaseError.
    """
    from alembic import command

    before = installed_version(engine)
    try:
        with connected(engine, write=True) as connection:
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            after = _version(connection)
    except MissingGrantError as error:
        raise MissingGrantError(
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


def installed_version(engine: Engine) -> str | None:
    """Return the version of Keydeck's schema, None where it is not there. Raises DatabaseError."""
    with connected(engine) as connection:
        return _version(connection)


def require_schema(engine: Engine) -> None:
    """Raise MissingSchemaError unless Keydeck's schema is there, of this version or a later one."""
    version = installed_version(engine)
    if version is None:
        raise MissingSchemaError(
            "Keydeck's own schema is not in this database, so no backup and no journal can be kept."
        )
    if version < VERSION:
        raise MissingSchemaError(
            f"Keydeck's own schema is of version {version} here, and {VERSION} is needed.",
            remedy="Update it with: keydeck init.",
        )


def require_schemas(*engines: Engine) -> Callable[[], None]:
    """Return what raises MissingSchemaError unless Keydeck's schema is in each of these databases.

    The journal may be in a database of its own, and nothing is done that it could not record.
    """

    def look() -> None:
        for engine in engines:
            require_schema(engine)

    return look


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

"""Run by Alembic for `keydeck init` (online, on a given connection) and `keydeck init --sql` (offline)."""

from __future__ import annotations

from typing import Any

from alembic import context
from sqlalchemy import text

from crypto_core.database.schema import SCHEMA, metadata

options: dict[str, Any] = {
    "target_metadata": metadata,
    "version_table": "version",
    "version_table_schema": SCHEMA,
}

if context.is_offline_mode():
    context.configure(dialect_name="postgresql", literal_binds=True, transactional_ddl=True, **options)
    with context.begin_transaction():
        context.execute("SET LOCAL search_path TO pg_catalog, pg_temp")
        context.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
        context.run_migrations()
else:
    connection = context.config.attributes["connection"]
    # CREATE SCHEMA IF NOT EXISTS wants CREATE on the database even where the schema is there already.
    if not connection.scalar(text("SELECT to_regnamespace(:name) IS NOT NULL"), {"name": SCHEMA}):
        connection.execute(text(f"CREATE SCHEMA {SCHEMA}"))
    context.configure(connection=connection, **options)
    with context.begin_transaction():
        context.run_migrations()

"""What the platform's tables hold, to compare before with after."""

from __future__ import annotations

from sqlalchemy import Engine, text

from crypto_core.database.tokens.tables import PLATFORM_TABLES


def everything(platform: Engine) -> set[tuple[str, str, str | None]]:
    found = set()
    with platform.connect() as connection:
        for table in PLATFORM_TABLES:
            for column in table.token_columns:
                rows = connection.execute(text(f"SELECT id::text, {column} FROM {table.name}"))
                found |= {(f"{table.name}.{column}", row_id, stored) for row_id, stored in rows}
    return found

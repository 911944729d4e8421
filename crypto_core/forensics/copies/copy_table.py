"""The rows of registered copies: added and ended, never changed and never deleted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, select, update

from crypto_core.database.connection.engine import connected
from crypto_core.database.dialect import clock, upsert
from crypto_core.database.schema import registered_copy as table


@dataclass(frozen=True, slots=True)
class CopyRow:
    name: str
    location: str
    holds: Mapping[str, Any]
    scanned_at: datetime
    added_at: datetime
    added_by: str
    taken_at: datetime | None
    kept_until: datetime | None


_ROW = [table.c[name] for name in CopyRow.__slots__]
_PRESENT = table.c.removed_at.is_(None)


def add_copy(connection: Connection, values: Mapping[str, Any]) -> bool:
    """Add a copy; False if one of its name is registered."""
    new = upsert(table).values({**values, "added_at": clock()})
    free = new.on_conflict_do_nothing(index_elements=["name"], index_where=_PRESENT)
    return bool(connection.execute(free).rowcount)


def remove_copy(connection: Connection, name: str, by: str) -> bool:
    """Note that a copy is gone; False if none of this name is registered."""
    ended = update(table).where(table.c.name == name, _PRESENT)
    return bool(connection.execute(ended.values(removed_at=clock(), removed_by=by)).rowcount)


def registered_copies(engine: Engine) -> tuple[CopyRow, ...]:
    """Return the copies that are registered, by name. Raises DatabaseError."""
    with connected(engine) as connection:
        rows = connection.execute(select(*_ROW).where(_PRESENT).order_by(table.c.name))
        return tuple(CopyRow(*row) for row in rows)

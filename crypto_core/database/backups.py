"""Envelopes that Keydeck has replaced and keeps: how many of them are under a key, and those of one token."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, func, select

from crypto_core.database.engine import connected
from crypto_core.database.expressions import format_of
from crypto_core.database.schema import envelope_backup
from crypto_core.envelope import Format
from crypto_core.key_names import same_key
from crypto_core.references import TokenRef

_MOST = 50


@dataclass(frozen=True, slots=True)
class Replaced:
    """How one token was stored until Keydeck wrote it anew at `replaced_at`."""

    format: Format
    key_arn: str | None
    key_material_id: str | None
    replaced_at: datetime


def backups_under(engine: Engine, key_arn: str) -> int:
    """Return the number of replaced envelopes under a key, all its replicas together.

    Raises DatabaseError, MissingSchemaError where Keydeck's schema isn't there.
    """
    by_key = select(envelope_backup.c.key_arn, func.count()).group_by(envelope_backup.c.key_arn)
    with connected(engine) as connection:
        rows = connection.execute(by_key).all()
    return sum(number for arn, number in rows if arn and same_key(arn, key_arn))


def replaced(engine: Engine, ref: TokenRef) -> tuple[Replaced, ...]:
    """Return how a token was stored before, as far as Keydeck keeps it, the newest first.

    No envelope leaves the database. Raises DatabaseError, MissingSchemaError where the schema isn't there.
    """
    b = envelope_backup.c
    kept = (
        select(format_of(b.envelope), b.key_arn, b.key_material_id, b.replaced_at)
        .where(b.token_column == f"{ref.table}.{ref.column}", b.row_id == ref.row_id)
        .order_by(b.replaced_at.desc())
        .limit(_MOST)
    )
    with connected(engine) as connection:
        rows = connection.execute(kept).all()
    return tuple(Replaced(Format(format_), arn, material, at) for format_, arn, material, at in rows)

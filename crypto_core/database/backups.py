"""Envelopes that Keydeck has replaced and keeps: how many of them are under a key."""

from __future__ import annotations

from sqlalchemy import Engine, func, select

from crypto_core.database.engine import connected
from crypto_core.database.schema import envelope_backup
from crypto_core.key_names import same_key


def backups_under(engine: Engine, key_arn: str) -> int:
    """Return the number of replaced envelopes under a key, all its replicas together.

    Raises DatabaseError, MissingSchemaError where Keydeck's schema isn't there.
    """
    by_key = select(envelope_backup.c.key_arn, func.count()).group_by(envelope_backup.c.key_arn)
    with connected(engine) as connection:
        rows = connection.execute(by_key).all()
    return sum(number for arn, number in rows if arn and same_key(arn, key_arn))

"""Envelopes that Keydeck has replaced and keeps: how many are under a key, and of which tokens they were."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Engine, func, select, tuple_

from crypto_core.database.engine import connected
from crypto_core.database.schema import envelope_backup
from crypto_core.errors import MissingSchemaError
from crypto_core.key_names import same_key
from crypto_core.references import TokenRef


def backups_under(engine: Engine, key_arn: str) -> int:
    """Return the number of replaced envelopes under a key, all its replicas together.

    Raises DatabaseError, MissingSchemaError where Keydeck's schema isn't there.
    """
    by_key = select(envelope_backup.c.key_arn, func.count()).group_by(envelope_backup.c.key_arn)
    with connected(engine) as connection:
        rows = connection.execute(by_key).all()
    return sum(number for arn, number in rows if arn and same_key(arn, key_arn))


def replaced_by_keydeck(engine: Engine, refs: Iterable[TokenRef]) -> frozenset[TokenRef]:
    """Return those of some tokens whose envelope Keydeck has replaced; none where its schema isn't there.

    Without the schema Keydeck replaces nothing. Raises DatabaseError.
    """
    names = {(f"{ref.table}.{ref.column}", ref.row_id): ref for ref in refs}
    if not names:
        return frozenset()
    c = envelope_backup.c
    found = select(c.token_column, c.row_id).distinct().where(tuple_(c.token_column, c.row_id).in_(names))
    try:
        with connected(engine) as connection:
            rows = connection.execute(found).all()
    except MissingSchemaError:
        return frozenset()
    return frozenset(names[column, row_id] for column, row_id in rows)

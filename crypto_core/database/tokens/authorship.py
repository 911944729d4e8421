"""Which tokens Keydeck has written, and not the platform: by its backups and its journal.

Every envelope that Keydeck replaces is backed up. A plaintext or dev value never is, so of those that it
encrypted in place only the journal tells.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Engine, Select, Text, bindparam, cast, func, literal, select, tuple_
from sqlalchemy.dialects.postgresql import ARRAY

from crypto_core.database.connection.engine import connected
from crypto_core.database.schema import envelope_backup, journal
from crypto_core.database.tokens.tables import TokenColumn
from crypto_core.errors import MissingSchemaError
from crypto_core.guard.outcome import Outcome
from crypto_core.references import TokenRef

_IN_PLACE = "encrypt"


def written_by_keydeck(
    engine: Engine, journal_engine: Engine, refs: Collection[TokenRef], since: datetime
) -> frozenset[TokenRef]:
    """Return those of some tokens that Keydeck has written; in place, at `since` or later.

    Without its schema Keydeck writes nothing. `journal_engine` is where the journal is. Raises DatabaseError,
    MissingGrantError where its tables may not be read.
    """
    if not refs:
        return frozenset()
    return _replaced(engine, refs) | _encrypted(journal_engine, refs, since)


def _replaced(engine: Engine, refs: Collection[TokenRef]) -> frozenset[TokenRef]:
    names = {(f"{ref.table}.{ref.column}", ref.identity): ref for ref in refs}
    c = envelope_backup.c
    found = select(c.token_column, c.row_id).distinct().where(tuple_(c.token_column, c.row_id).in_(names))
    return frozenset(names[column, row_id] for column, row_id in _rows(engine, found))


def _encrypted(engine: Engine, refs: Collection[TokenRef], since: datetime) -> frozenset[TokenRef]:
    names = {str(ref): ref for ref in refs}
    c = journal.c
    told = cast(c.detail, JSON).op("->", return_type=JSON)(literal("references", Text))
    listed = (
        select(func.json_array_elements_text(told).label("reference"))
        .where(c.action == _IN_PLACE, c.outcome == Outcome.DONE.value, c.at >= since)
        .subquery()
    )
    wanted = bindparam("names", list(names), ARRAY(Text))
    found = select(listed.c.reference).where(listed.c.reference == func.any(wanted)).distinct()
    return frozenset(names[name] for (name,) in _rows(engine, found))


def _rows(engine: Engine, statement: Select[Any]) -> Sequence[Any]:
    try:
        with connected(engine) as connection:
            return connection.execute(statement).all()
    except MissingSchemaError:
        return ()


def columns_encrypted_in_place(
    journal_engine: Engine, columns: Collection[TokenColumn]
) -> frozenset[TokenColumn]:
    """Return those of some columns in which Keydeck has ever encrypted a token in place, by its journal.

    Whoever wrote these tokens wrote no envelopes. Raises as `written_by_keydeck`.
    """
    j = journal.c
    done = select(j.seq).where(j.action == _IN_PLACE, j.outcome == Outcome.DONE.value)

    def told(column: TokenColumn) -> Any:
        beginning = json.dumps(f"{column}:").removesuffix('"')
        return done.where(func.strpos(j.detail, beginning) > 0).exists()

    return frozenset(c for c in columns if any(found for (found,) in _rows(journal_engine, select(told(c)))))

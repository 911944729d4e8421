"""Decoys as SQL: which rows of a table are decoys, and all the others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, LargeBinary, and_, bindparam, func, or_, select
from sqlalchemy import Text as SqlText

from crypto_core.database.dialect import ARRAY
from crypto_core.database.tokens.decoys import Decoy
from crypto_core.database.tokens.expressions import digest_of, id_text, text_of
from crypto_core.database.tokens.tables import TokenTable


def is_decoy(table: TokenTable, rows: Any, decoys: Iterable[Decoy]) -> ColumnElement[bool]:
    """True for rows of a table that are decoys, by their ids first: of no other row a value is hashed."""
    every = tuple(decoys)
    ids = bindparam("decoys", [d.row_id for d in every], ARRAY(SqlText), unique=True)
    digests = bindparam(
        "sealed", [t.digest for d in every for t in d.tokens], ARRAY(LargeBinary), unique=True
    )
    same = []
    for column in table.token_columns:
        stored = text_of(table, column, rows.c[column])
        same.append(or_(rows.c[column].is_(None), digest_of(stored) == func.any(digests)))
    return and_(id_text(table, rows) == func.any(ids), *same)


def without_decoys(table: TokenTable, rows: Any) -> Any:
    """The rows of a table but for its decoys."""
    if not table.decoys:
        return rows
    real = func.coalesce(is_decoy(table, rows, table.decoys), False).is_(False)
    return select(*rows.c).where(real).subquery()

"""Counts of all tokens by format, column and key material group, made in SQL: one statement, one snapshot."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine, String, and_, cast, func, literal, null, select, union_all
from sqlalchemy import Text as SqlText

from crypto_core.database.answers import AnswerBook, Wrapping
from crypto_core.database.catalogue import Catalogue, LiveCatalogue
from crypto_core.database.engine import connected
from crypto_core.database.expressions import digest_of, edk_prefix_of, format_of, id_text, table_of
from crypto_core.database.references import TokenRef
from crypto_core.envelope import Format


@dataclass(frozen=True, slots=True)
class GroupCount:
    """Tokens of one column that look alike.

    `edk_prefix` is the key material group of v1 envelopes, None where the EDK has no KMS header. `asked` is
    True for tokens that KMS was asked about; then `wrapping` is what it said, None with a `reason` for a
    broken envelope. `sample` is one of them.
    """

    column: str
    format: Format
    edk_prefix: bytes | None
    asked: bool
    wrapping: Wrapping | None
    reason: str
    tokens: int
    sample: TokenRef


@dataclass(frozen=True, slots=True)
class Census:
    """All groups at one moment. `known` are the wrappings that KMS has ever named for each EDK prefix."""

    taken_at: datetime
    catalogue: Catalogue
    groups: tuple[GroupCount, ...]
    known: dict[bytes, frozenset[Wrapping]]


def take_census(engine: Engine, catalogue: LiveCatalogue, answers: AnswerBook) -> Census:
    """Return the census. No token value leaves the database. Raises DatabaseError."""
    current = catalogue.refresh()
    relation = answers.relation()
    parts = []
    for table in current.tables:
        for column in table.token_columns:
            source = table_of(table)
            stored = source.c[column]
            names: list[Any] = [cast(literal(table.name), String), cast(literal(column), String)]
            tokens = (
                select(
                    format_of(stored).label("format"),
                    edk_prefix_of(stored).label("edk_prefix"),
                    id_text(table, source).label("row_id"),
                    *([digest_of(stored).label("digest")] if relation is not None else []),
                )
                .where(stored.is_not(None))
                .subquery()
            )
            counted: list[Any] = [func.count(), func.min(tokens.c.row_id)]
            keys: list[Any] = [tokens.c.format, tokens.c.edk_prefix]
            if relation is None:
                answer: list[Any] = [
                    literal(False),
                    cast(null(), SqlText),
                    cast(null(), SqlText),
                    literal(""),
                ]
                part = select(*names, *keys, *answer, *counted).group_by(*keys)
            else:
                r = relation.c
                keys += [r.digest.is_not(None), r.key_arn, r.key_material_id, func.coalesce(r.reason, "")]
                joined = tokens.outerjoin(
                    relation, and_(tokens.c.format == Format.V1.value, r.digest == tokens.c.digest)
                )
                part = select(*names, *keys, *counted).select_from(joined).group_by(*keys)
            parts.append(part)
    with connected(engine) as connection:
        taken_at = datetime.now(UTC)
        rows = connection.execute(union_all(*parts)).all() if parts else []
        known = answers.by_group(connection)
    groups = tuple(
        GroupCount(
            column=f"{table_name}.{column}",
            format=Format(format_),
            edk_prefix=bytes(prefix) if prefix is not None else None,
            asked=asked,
            wrapping=(key_arn, material) if key_arn else None,
            reason=reason,
            tokens=tokens_,
            sample=TokenRef(table_name, column, row_id),
        )
        for table_name, column, format_, prefix, asked, key_arn, material, reason, tokens_, row_id in rows
    )
    return Census(taken_at, current, groups, known)

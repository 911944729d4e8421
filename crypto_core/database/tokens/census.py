"""Counts of all tokens by format, column and key material group, made in SQL: one statement, one snapshot."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Event
from typing import Any

from sqlalchemy import BigInteger, Engine, String, and_, case, cast, func, literal, null, select, union_all
from sqlalchemy import Text as SqlText

from crypto_core.database.connection.engine import connected
from crypto_core.database.tokens.attribution_cache import Asked, AttributionCache, Wrapping, named_by_group
from crypto_core.database.tokens.catalogue import Catalogue, LiveCatalogue
from crypto_core.database.tokens.expressions import (
    apart,
    digest_of,
    edk_prefix_of_head,
    format_of,
    head_of,
    is_envelope,
    mark_of,
)
from crypto_core.database.tokens.token_source import token_source
from crypto_core.envelope import Format
from crypto_core.references import TokenRef


@dataclass(frozen=True, slots=True)
class GroupCount:
    """Tokens of one column that look alike.

    `edk_prefix` is the key material group of envelopes, None where the EDK has no KMS header. `asked` is
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
    """All groups at one moment. `known` are the wrappings that KMS has ever named for each EDK prefix, and
    `asked` when it has.
    """

    taken_at: datetime
    catalogue: Catalogue
    groups: tuple[GroupCount, ...]
    known: dict[bytes, frozenset[Wrapping]]
    asked: Asked = field(default_factory=dict)


def take_census(
    engine: Engine,
    catalogue: LiveCatalogue,
    answers: AttributionCache | None,
    *,
    cancelled: Event | None = None,
) -> Census:
    """Return the census; without `answers` nothing that is remembered counts, and all groups are unasked.

    No token value leaves the database. Raises DatabaseError, InterruptedRunError.
    """
    current = catalogue.refresh()
    relation = answers.relation() if answers is not None else None
    parts = []
    for table in current.tables:
        for column in table.token_columns:
            source = token_source(table, column, whole=True)
            stored = source.stored
            tokens = apart(
                select(
                    _told_by(stored).label("head"), source.id_text.label("row_id"), stored.label("stored")
                ).where(stored.is_not(None))
            )
            parts.append(_grouped(table.name, column, tokens, relation))
    with connected(engine, cancelled=cancelled) as connection:
        taken_at = datetime.now(UTC)
        rows = connection.execute(union_all(*parts)).all() if parts else []
        asked = answers.asked(connection) if answers is not None else {}
    groups = tuple(
        GroupCount(
            column=f"{table_name}.{column}",
            format=Format(format_),
            edk_prefix=bytes(prefix) if prefix is not None else None,
            asked=asked,
            wrapping=(key_arn, material) if key_arn else None,
            reason=reason,
            tokens=tokens_,
            sample=current.table(table_name).ref(column, row_id),
        )
        for table_name, column, format_, prefix, asked, key_arn, material, reason, tokens_, row_id in rows
    )
    return Census(taken_at, current, groups, named_by_group(asked), asked)


_NO_ENVELOPE = "!"
"""Before a format, instead of an envelope's head: no other value has to be told from its like."""


def _told_by(stored: Any) -> Any:
    """As much of a value as the counts need: an envelope's head, of anything else the format."""
    return case((is_envelope(stored), head_of(stored)), else_=func.concat(_NO_ENVELOPE, format_of(stored)))


def _grouped(table: str, column: str, tokens: Any, relation: Any) -> Any:
    """Count by head and answer first, then by what the heads mean."""
    keys: list[Any] = [tokens.c.head]
    joined = tokens
    answer: list[Any] = [
        literal(False).label("asked"),
        cast(null(), SqlText).label("key_arn"),
        cast(null(), SqlText).label("material"),
        literal("").label("reason"),
    ]
    if relation is not None:
        r = relation.c
        answer = [
            r.digest.is_not(None).label("asked"),
            r.key_arn.label("key_arn"),
            r.key_material_id.label("material"),
            func.coalesce(r.reason, "").label("reason"),
        ]
        keys += answer
        # `is_(True)`: a join by the digest would hash every value, this one only those with such a mark.
        stored = tokens.c.stored
        same = and_(r.mark == mark_of(stored), (r.digest == digest_of(stored)).is_(True))
        joined = tokens.outerjoin(relation, and_(is_envelope(tokens.c.head), same))
    heads = (
        select(
            tokens.c.head, *answer, func.count().label("tokens"), func.min(tokens.c.row_id).label("row_id")
        )
        .select_from(joined)
        .group_by(*keys)
        .subquery()
    )
    h = heads.c
    told = apart(
        select(
            case(
                (func.starts_with(h.head, _NO_ENVELOPE), func.substr(h.head, len(_NO_ENVELOPE) + 1)),
                else_=format_of(h.head),
            ).label("format"),
            edk_prefix_of_head(h.head).label("edk_prefix"),
            *(h[name] for name in ("asked", "key_arn", "material", "reason", "tokens", "row_id")),
        )
    )
    t = told.c
    groups: list[Any] = [t.format, t.edk_prefix, t.asked, t.key_arn, t.material, t.reason]
    names: list[Any] = [cast(literal(table), String), cast(literal(column), String)]
    counted: list[Any] = [cast(func.sum(t.tokens), BigInteger), func.min(t.row_id)]
    return select(*names, *groups, *counted).group_by(*groups)

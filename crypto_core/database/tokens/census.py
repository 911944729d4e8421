"""Counts of all tokens by format, column and key material group, made in SQL: one statement, one snapshot."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Event
from typing import Any

from sqlalchemy import (
    BigInteger,
    Connection,
    Engine,
    String,
    and_,
    case,
    cast,
    func,
    literal,
    not_,
    null,
    or_,
    select,
    union_all,
)
from sqlalchemy import Text as SqlText
from sqlalchemy import column as sql_column

from crypto_core.database.connection.engine import connected
from crypto_core.database.tokens.attribution_cache import Asked, AttributionCache, Wrapping, named_by_group
from crypto_core.database.tokens.catalogue import Catalogue, LiveCatalogue
from crypto_core.database.tokens.decoy_rows import is_decoy
from crypto_core.database.tokens.decoys import DecoyCount
from crypto_core.database.tokens.expressions import (
    apart,
    digest_of,
    edk_prefix_of_head,
    format_of,
    head_of,
    holds_envelope,
    id_text,
    is_envelope,
    mark_of,
    runs_on,
    table_of,
)
from crypto_core.database.tokens.token_source import TABLE, alike, source_of_all
from crypto_core.envelope import Format
from crypto_core.references import TokenRef
from crypto_core.text.counting import counted


@dataclass(frozen=True, slots=True)
class GroupCount:
    """Tokens of one column that look alike.

    `edk_prefix` is the key material group of envelopes, None where the EDK has no KMS header. `asked` is
    True for tokens that KMS was asked about; then `wrapping` is what it said, None with a `reason` for a
    broken envelope. `sample` is one of them. `holding` is True for values that have an envelope
    among other text.
    """

    column: str
    format: Format
    edk_prefix: bytes | None
    asked: bool
    wrapping: Wrapping | None
    reason: str
    tokens: int
    sample: TokenRef
    holding: bool = False


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
    decoys: DecoyCount = field(default_factory=DecoyCount)
    """What is left out of all groups: nobody's tokens."""

    @property
    def gaps(self) -> tuple[str, ...]:
        """One sentence for each part that is not counted or whose key is not known."""
        holding = Counter[str]()
        for group in self.groups:
            holding[group.column] += group.tokens if group.holding else 0
        return (
            *self.catalogue.gaps,
            *(
                f"{counted(number, 'value')} in {column}: an envelope is among other text. No run reads it, "
                "and which key it is under is not known."
                for column, number in holding.items()
                if number
            ),
        )


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
    for column, tables in alike(current.tables):
        source = source_of_all(tables, column)
        stored = source.stored
        named = [source.source.c[TABLE]] if len(tables) > 1 else []
        tokens = apart(
            select(
                _told_by(stored).label("head"), source.id_text.label("row_id"), stored.label("stored"), *named
            ).where(stored.is_not(None))
        )
        parts.append(_grouped(tables[0].name, column, tokens, relation))
    with connected(engine, cancelled=cancelled) as connection:
        taken_at = datetime.now(UTC)
        rows = connection.execute(union_all(*parts)).all() if parts else []
        asked = answers.asked(connection) if answers is not None else {}
        decoys = _count_decoys(connection, current)
    groups = tuple(
        GroupCount(
            column=f"{row.in_table}.{row.in_column}",
            format=Format(row.format),
            edk_prefix=bytes(row.edk_prefix) if row.edk_prefix is not None else None,
            asked=row.asked,
            wrapping=(row.key_arn, row.material) if row.key_arn else None,
            reason=row.reason,
            tokens=row.tokens,
            sample=current.table(row.in_table).ref(row.in_column, row.row_id),
            holding=row.holding,
        )
        for row in rows
    )
    return Census(taken_at, current, groups, named_by_group(asked), asked, decoys)


def _count_decoys(connection: Connection, catalogue: Catalogue) -> DecoyCount:
    """The decoys that stand, in the same moment; those of a table that is not read are neither."""
    standing: set[tuple[str, str]] = set()
    tables = [table for table in catalogue.tables if table.decoys]
    for table in tables:
        rows = table_of(table)
        found = connection.scalars(select(id_text(table, rows)).where(is_decoy(table, rows, table.decoys)))
        standing.update((table.name, row_id) for row_id in found)
    listed = [decoy for table in tables for decoy in table.decoys]
    return DecoyCount(
        tuple(d for d in listed if (d.table, d.row_id) in standing),
        tuple(d for d in listed if (d.table, d.row_id) not in standing),
    )


_NO_ENVELOPE = "!"
"""Before a format, instead of an envelope's head: no other value has to be told from its like."""
_HOLDING = "!+"
"""The same before the format of a value with an envelope in it."""


def _told_by(stored: Any) -> Any:
    """As much of a value as the counts need: an envelope's head, of anything else the format."""
    return case(
        (and_(is_envelope(stored), not_(runs_on(stored))), head_of(stored)),
        (or_(is_envelope(stored), holds_envelope(stored)), func.concat(_HOLDING, format_of(stored))),
        else_=func.concat(_NO_ENVELOPE, format_of(stored)),
    )


_HEAD: Any = sql_column("head")
_STORED: Any = sql_column("stored")
"""By these names in every statement, so that what is made of them is made once: see `expressions`."""


def _grouped(table: str, column: str, tokens: Any, relation: Any) -> Any:
    """Count by head and answer first, then by what the heads mean; rows that say so by their table, too."""
    named = [TABLE] if TABLE in tokens.c else []
    own = [tokens.c[name] for name in named]
    keys: list[Any] = [tokens.c.head, *own]
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
        same = and_(r.mark == mark_of(_STORED), (r.digest == digest_of(_STORED)).is_(True))
        joined = tokens.outerjoin(relation, and_(is_envelope(tokens.c.head), same))
    heads = (
        select(
            tokens.c.head,
            *own,
            *answer,
            func.count().label("tokens"),
            func.min(tokens.c.row_id).label("row_id"),
        )
        .select_from(joined)
        .group_by(*keys)
        .subquery()
    )
    h = heads.c
    told = apart(
        select(
            case(
                *(
                    (func.starts_with(_HEAD, mark), func.substr(_HEAD, len(mark) + 1))
                    for mark in (_HOLDING, _NO_ENVELOPE)
                ),
                else_=format_of(_HEAD),
            ).label("format"),
            func.starts_with(_HEAD, _HOLDING).label("holding"),
            edk_prefix_of_head(_HEAD).label("edk_prefix"),
            *(h[name] for name in ("asked", "key_arn", "material", "reason", "tokens", "row_id", *named)),
        ).select_from(heads)
    )
    t = told.c
    groups: list[Any] = [t.format, t.holding, t.edk_prefix, t.asked, t.key_arn, t.material, t.reason]
    whose: list[Any] = [t[name] for name in named] or [cast(literal(table), String)]
    place = [whose[0].label("in_table"), cast(literal(column), String).label("in_column")]
    tokens = [cast(func.sum(t.tokens), BigInteger).label("tokens"), func.min(t.row_id).label("row_id")]
    return select(*place, *groups, *tokens).group_by(*groups, *(t[name] for name in named))

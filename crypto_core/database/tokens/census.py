"""Counts of all tokens by format, column and key material group, made in SQL, of one moment.

Small tables are one statement. Of large ones ranges of pages are counted by several sessions at once, which
see the same snapshot: see `page_ranges` and `shared_moment`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache, partial
from threading import Event
from typing import Any

import sqlalchemy as sa

from crypto_core.database.connection.engine import connected
from crypto_core.database.connection.shared_moment import at_one_moment
from crypto_core.database.tokens import attribution_cache, expressions
from crypto_core.database.tokens.catalogue import Catalogue, LiveCatalogue
from crypto_core.database.tokens.decoys import DecoyCount
from crypto_core.database.tokens.page_ranges import TableSizes, hold_layout, read_sizes
from crypto_core.database.tokens.tables import TokenTable
from crypto_core.database.tokens.token_patterns import MOST_READ, may_hold_envelope, needs_reading
from crypto_core.database.tokens.token_source import (
    TABLE,
    TokenSource,
    alike,
    differing,
    is_decoy,
    source_of_all,
    token_source,
)
from crypto_core.envelope import Format
from crypto_core.values.counts import counted
from crypto_core.values.references import TokenRef

SESSIONS = 3
"""As many as PostgreSQL itself takes for one statement."""


@dataclass(frozen=True, slots=True)
class GroupCount:
    """Tokens of one column that look alike.

    `edk_prefix` is the key material group of envelopes, None where the EDK has no KMS header. `asked` is
    True for tokens that KMS was asked about; then `wrapping` is what it said, None with a `reason` for a
    broken envelope. `sample` is one of them. `holding` is True for values that have, or may have, an envelope
    among other text; `undecided` for those that are yet to be read to know: see `token_patterns`.
    """

    column: str
    format: Format
    edk_prefix: bytes | None
    asked: bool
    wrapping: attribution_cache.Wrapping | None
    reason: str
    tokens: int
    sample: TokenRef
    holding: bool = False
    undecided: bool = False
    respelt: bool = False
    """Whether these are v1 values that Keydeck would spell in another way: see `expressions.is_respelt`."""


@dataclass(frozen=True, slots=True)
class Census:
    """`known` are the wrappings that KMS has named for each EDK prefix, `asked` when."""

    taken_at: datetime
    catalogue: Catalogue
    groups: tuple[GroupCount, ...]
    known: dict[bytes, frozenset[attribution_cache.Wrapping]]
    asked: attribution_cache.Asked = field(default_factory=dict)
    decoys: DecoyCount = field(default_factory=DecoyCount)

    @property
    def gaps(self) -> tuple[str, ...]:
        holding = Counter[str]()
        for group in self.groups:
            holding[group.column] += group.tokens if group.holding else 0
        return (
            *self.catalogue.gaps,
            *(
                f"{counted(number, 'value')} in {column}: an envelope is, or may be, among other text. "
                "No run reads it, and which key it is under is not known."
                for column, number in holding.items()
                if number
            ),
        )


@dataclass(frozen=True, slots=True)
class CensusProgress:
    """`done` of so many `pages`, with so many tokens in them."""

    done: int
    pages: int
    tokens: int

    @property
    def share(self) -> float:
        return min(self.done / self.pages, 1.0) if self.pages else 0.0


def take_census(
    engine: sa.Engine,
    catalogue: LiveCatalogue,
    answers: attribution_cache.AttributionCache | None,
    *,
    cancelled: Event | None = None,
    progress: Callable[[CensusProgress], None] | None = None,
    beside: Callable[[sa.Connection], None] = lambda _: None,
) -> Census:
    """Return the census; without `answers` nothing that is remembered counts, and all groups are unasked.

    `progress` is called after each part, by one thread at a time. `beside` reads more in the same
    snapshot, at its end. No token value leaves the database.
    Raises DatabaseError, InterruptedRunError: there is no census of a part.
    """
    current = catalogue.refresh()
    relation = answers.relation() if answers is not None else None
    with connected(engine, snapshot=True, cancelled=cancelled) as connection:
        taken_at = datetime.now(UTC)
        sizes = read_sizes(connection, current.tables)
        parts = list(_parts(current, sizes, relation))
        hold_layout(connection, [t for t in current.tables if sizes.ranges(t.name)])
        tally = _Tally(current, sum(part.pages for part in parts), progress)
        at_one_moment(
            engine,
            connection,
            [partial(_counted, part) for part in parts],
            sessions=SESSIONS,
            cancelled=cancelled,
            done=lambda index, rows: tally.add(parts[index], rows),
        )
        asked = answers.asked(connection) if answers is not None else {}
        decoys = _count_decoys(connection, current)
        groups = tuple(_decided(connection, current, tally.groups))
        beside(connection)
    return Census(taken_at, current, groups, attribution_cache.named_by_group(asked), asked, decoys)


@dataclass(frozen=True, slots=True)
class _CensusPart:
    statement: Any
    pages: int
    parameters: Mapping[str, str] = field(default_factory=dict)


def _parts(catalogue: Catalogue, sizes: TableSizes, relation: Any) -> Iterator[_CensusPart]:
    """All rows: small tables together, large ones by ranges or column by column."""
    large = [table for table in catalogue.tables if sizes.is_large(table.name)]
    small = [table for table in catalogue.tables if table not in large]
    if small:
        kept = relation is None or relation is attribution_cache.STORED_ANSWERS
        counting = (
            _kept_counting(tuple(small), tuple(map(differing, small)), relation)
            if kept
            else _counting_all(small, relation)
        )
        yield _CensusPart(counting, sum(sizes.pages[table.name] for table in small))
    for table in large:
        ranges = sizes.ranges(table.name)
        sources = [
            ([table], token_source(table, column, whole=True, in_range=bool(ranges)))
            for column in table.token_columns
        ]
        if ranges:
            counting = _counting(sources, relation)
            yield from (_CensusPart(counting, one.pages, one.parameters) for one in ranges)
        else:
            share = sizes.pages[table.name] // len(sources)
            yield from (_CensusPart(_counting([source], relation), share) for source in sources)


def _counted(part: _CensusPart, connection: sa.Connection) -> Sequence[Any]:
    return connection.execute(part.statement, part.parameters).all()


def _counting_all(tables: Sequence[TokenTable], relation: Any) -> Any:
    return _counting([(of, source_of_all(of, column)) for column, of in alike(tables)], relation)


@lru_cache(maxsize=16)
def _kept_counting(tables: tuple[TokenTable, ...], _differing: tuple[Any, ...], relation: Any) -> Any:
    """Kept: making it takes longer than counting small tables."""
    return _counting_all(tables, relation)


def _counting(sources: Iterable[tuple[list[TokenTable], TokenSource]], relation: Any) -> Any:
    """One statement for some columns, each of tables that have it alike; what is dear stands in it once."""
    parts = []
    for tables, source in sources:
        table = source.source.c[TABLE] if len(tables) > 1 else sa.cast(sa.literal(tables[0].name), sa.String)
        values = sa.select(
            expressions.fetched(source.stored).label("stored"),
            source.id_text.label("row_id"),
            table.label("in_table"),
            sa.cast(sa.literal(source.column), sa.String).label("in_column"),
        )
        parts.append(values.where(source.stored.is_not(None)))
    all_ = expressions.apart(parts[0] if len(parts) == 1 else sa.select(sa.union_all(*parts).subquery()))
    return _grouped(expressions.apart(sa.select(_told_by(_STORED).label("head"), *all_.c)), relation)


@dataclass(eq=False, repr=False)
class _Tally:
    catalogue: Catalogue
    pages: int
    progress: Callable[[CensusProgress], None] | None
    _done: int = 0
    _tokens: int = 0
    _groups: dict[tuple[object, ...], GroupCount] = field(default_factory=dict)

    @property
    def groups(self) -> tuple[GroupCount, ...]:
        return tuple(self._groups.values())

    def add(self, part: _CensusPart, rows: Iterable[Any]) -> None:
        for group in map(self._group, rows):
            key = (
                *(group.column, group.format, group.edk_prefix, group.holding, group.undecided),
                *(group.respelt, group.asked, group.wrapping, group.reason),
            )
            known = self._groups.get(key)
            self._groups[key] = replace(known, tokens=known.tokens + group.tokens) if known else group
            self._tokens += group.tokens
        self._done += part.pages
        if self.progress is not None:
            self.progress(CensusProgress(self._done, self.pages, self._tokens))

    def _group(self, row: Any) -> GroupCount:
        return GroupCount(
            column=f"{row.in_table}.{row.in_column}",
            format=Format(row.format),
            edk_prefix=bytes(row.edk_prefix) if row.edk_prefix is not None else None,
            asked=row.asked,
            wrapping=(row.key_arn, row.material) if row.key_arn else None,
            reason=row.reason,
            tokens=row.tokens,
            sample=self.catalogue.table(row.in_table).ref(row.in_column, row.row_id),
            holding=row.holding,
            undecided=row.undecided,
            respelt=row.respelt,
        )


def _decided(
    connection: sa.Connection, catalogue: Catalogue, groups: Iterable[GroupCount]
) -> Iterator[GroupCount]:
    """Groups that SQL can't decide about are parted by reading their values."""
    left = MOST_READ
    for group in groups:
        if not group.undecided:
            yield group
            continue
        holding = group.tokens
        if group.tokens <= left:
            left -= group.tokens
            holding = _count_holding(connection, catalogue, group)
        parted = {True: holding, False: group.tokens - holding}
        yield from (replace(group, tokens=n, holding=h, undecided=False) for h, n in parted.items() if n)


def _count_holding(connection: sa.Connection, catalogue: Catalogue, group: GroupCount) -> int:
    ref = group.sample
    source = token_source(catalogue.table(ref.table), ref.column, whole=True)
    values = sa.select(source.stored).where(_told_by(source.stored) == f"{_UNDECIDED}{group.format}")
    told = connection.execute(values, execution_options={"yield_per": 20})
    return sum(may_hold_envelope(str(stored)) for stored in told.scalars())


def _count_decoys(connection: sa.Connection, catalogue: Catalogue) -> DecoyCount:
    """The decoys that stand, in the same moment; those of a table that is not read are neither."""
    standing: set[tuple[str, str]] = set()
    tables = [table for table in catalogue.tables if table.decoys]
    for table in tables:
        rows = expressions.table_of(table)
        found = connection.scalars(
            sa.select(expressions.id_text(table, rows)).where(is_decoy(table, rows, table.decoys))
        )
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
_UNDECIDED = "!?"
"""The same before the format of a value that has to be read to know."""


def _told_by(stored: Any) -> Any:
    return sa.case(
        (
            sa.and_(expressions.is_envelope(stored), sa.not_(expressions.runs_on(stored))),
            expressions.head_of(stored),
        ),
        else_=sa.func.concat(
            sa.case(
                (sa.or_(expressions.is_envelope(stored), expressions.holds_envelope(stored)), _HOLDING),
                (needs_reading(stored), _UNDECIDED),
                else_=_NO_ENVELOPE,
            ),
            expressions.format_of(stored),
        ),
    )


_HEAD: Any = sa.column("head")
_STORED: Any = sa.column("stored")
"""By these names in every statement, so that what is made of them is made once: see `expressions`."""


def _grouped(tokens: Any, relation: Any) -> Any:
    """Count by column, head and answer first, then by what the heads mean."""
    own = [tokens.c[name] for name in ("head", "in_table", "in_column")]
    keys: list[Any] = [*own]
    joined = tokens
    answer: list[Any] = [
        sa.literal(False).label("asked"),
        sa.cast(sa.null(), sa.Text).label("key_arn"),
        sa.cast(sa.null(), sa.Text).label("material"),
        sa.literal("").label("reason"),
    ]
    if relation is not None:
        r = relation.c
        answer = [
            r.digest.is_not(None).label("asked"),
            r.key_arn.label("key_arn"),
            r.key_material_id.label("material"),
            sa.func.coalesce(r.reason, "").label("reason"),
        ]
        keys += answer
        # `is_(True)`: a join by the digest would hash every value, this one only those with such a mark.
        respelt = sa.func.starts_with(tokens.c.head, expressions.RESPELT)
        same = sa.and_(
            r.mark == expressions.envelopes_mark(_STORED, respelt),
            (r.digest == expressions.digest_of(_STORED)).is_(True),
        )
        joined = tokens.outerjoin(relation, same)
    heads = (
        sa.select(
            *own,
            *answer,
            sa.func.count().label("tokens"),
            sa.func.min(tokens.c.row_id).label("row_id"),
        )
        .select_from(joined)
        .group_by(*keys)
        .subquery()
    )
    h = heads.c
    # What is dear to decode is decoded for one head of those that mean the same.
    told_apart = [h[name] for name in ("asked", "key_arn", "material", "reason", "in_table", "in_column")]
    few = sa.select(
        sa.func.min(h.head).label("head"),
        *told_apart,
        sa.cast(sa.func.sum(h.tokens), sa.BigInteger).label("tokens"),
        sa.func.min(h.row_id).label("row_id"),
    )
    heads = few.group_by(expressions.sure_part(_HEAD), *told_apart).subquery()
    h = heads.c
    told = expressions.apart(
        sa.select(
            sa.case(
                *(
                    (sa.func.starts_with(_HEAD, mark), sa.func.substr(_HEAD, len(mark) + 1))
                    for mark in (_HOLDING, _UNDECIDED, _NO_ENVELOPE)
                ),
                (sa.func.starts_with(_HEAD, expressions.RESPELT), sa.literal(Format.V1.value)),
                else_=expressions.format_of(_HEAD),
            ).label("format"),
            sa.func.starts_with(_HEAD, _HOLDING).label("holding"),
            sa.func.starts_with(_HEAD, _UNDECIDED).label("undecided"),
            sa.func.starts_with(_HEAD, expressions.RESPELT).label("respelt"),
            expressions.edk_prefix_of_head(_HEAD).label("edk_prefix"),
            *(h[column.name] for column in told_apart),
            *(h.tokens, h.row_id),
        ).select_from(heads)
    )
    t = told.c
    groups: list[Any] = [t.in_table, t.in_column, t.format, t.holding, t.undecided, t.respelt]
    groups += [t.edk_prefix, t.asked, t.key_arn, t.material, t.reason]
    tokens = [
        sa.cast(sa.func.sum(t.tokens), sa.BigInteger).label("tokens"),
        sa.func.min(t.row_id).label("row_id"),
    ]
    return sa.select(*groups, *tokens).group_by(*groups)

"""Tokens that stand where they don't belong: copies of envelopes, old versions among new, other providers'.

They are counted in SQL: no stored value leaves the database, only references do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from threading import Event
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Text as SqlText
from sqlalchemy.dialects.postgresql import aggregate_order_by

from crypto_core.database.connection.engine import connected, patient
from crypto_core.database.dialect import ARRAY
from crypto_core.database.tokens import expressions as sql
from crypto_core.database.tokens.catalogue import Catalogue
from crypto_core.database.tokens.census import Census
from crypto_core.database.tokens.tables import TokenColumn
from crypto_core.database.tokens.token_source import TokenSource, token_source
from crypto_core.envelope import (
    ENVELOPE_FORMATS,
    PROVIDER_PREFIXES,
    STORED_PREFIXES,
    TOKENS_OF,
    Format,
    at_least,
)
from crypto_core.values.counts import counted
from crypto_core.values.references import TokenRef

NAMED = 5
"""References that are named of many."""
FEW = 1_000
LONGEST_SECONDS = 300
"""The search for copies reads every envelope."""


@dataclass(frozen=True, slots=True)
class Copies:
    """One version's envelopes that stand in several places; `named` has the places of some."""

    format: Format
    envelopes: int
    places: int
    named: tuple[tuple[TokenRef, ...], ...]


@dataclass(frozen=True, slots=True)
class OldEnvelopes:
    """A column's envelopes that are older than is demanded, or than most of the column's."""

    column: TokenColumn
    format: Format
    expected: Format
    tokens: int
    demanded: bool
    """Whether readers refuse the older version."""
    named: tuple[TokenRef, ...]

    @property
    def words(self) -> str:
        why = f"where {self.expected} is demanded" if self.demanded else f"most of which are {self.expected}"
        return f"{counted(self.tokens, f'{self.format} envelope')} among the tokens of {self.column}, {why}"


@dataclass(frozen=True, slots=True)
class ForeignTokens:
    """Plaintext tokens with the prefix of another provider (`theirs`) than their rows' (`provider`)."""

    column: TokenColumn
    provider: str
    theirs: str
    tokens: int
    named: tuple[TokenRef, ...]

    @property
    def words(self) -> str:
        plaintexts = counted(self.tokens, "plaintext token")
        return f"{plaintexts} of {self.theirs} in {self.column}, in rows of {self.provider}"


@dataclass(frozen=True, slots=True)
class Strays:
    old: tuple[OldEnvelopes, ...] = ()
    foreign: tuple[ForeignTokens, ...] = ()


def named_words(refs: Sequence[TokenRef], tokens: int) -> str:
    more = tokens - len(refs)
    return ", ".join(map(str, refs)) + (f" and {more:,} more" if more else "")


def find_strays(
    engine: sa.Engine, census: Census, least: Format, *, cancelled: Event | None = None
) -> Strays:
    """Return what of a census is out of place; `least` is the oldest version that is demanded.

    Only columns that hold such tokens by the census's count are read. Raises DatabaseError,
    InterruptedRunError.
    """
    old: list[OldEnvelopes] = []
    foreign: list[ForeignTokens] = []
    with connected(engine, cancelled=cancelled) as connection:
        for column in census.catalogue.columns:
            counts = dict.fromkeys(Format, 0)
            for group in census.groups:
                if group.column == str(column):
                    counts[group.format] += group.tokens
            source = token_source(census.catalogue.table(column.table), column.column)
            expected = max((least, _usual(counts)), key=ENVELOPE_FORMATS.index)
            for format_ in ENVELOPE_FORMATS[: ENVELOPE_FORMATS.index(expected)]:
                if counts[format_]:
                    named = _some(
                        connection, source, sa.func.starts_with(source.stored, STORED_PREFIXES[format_])
                    )
                    demanded = at_least(format_, least) is not format_
                    old.append(OldEnvelopes(column, format_, expected, counts[format_], demanded, named))
            if counts[Format.PLAINTEXT]:
                foreign += _foreign(connection, source)
    return Strays(tuple(old), tuple(foreign))


def find_copies(
    engine: sa.Engine, catalogue: Catalogue, *, cancelled: Event | None = None
) -> tuple[Copies, ...]:
    """Return the envelopes that are stored in more than one place, by version.

    Every envelope is read, and once more where there are copies. Raises DatabaseError, InterruptedRunError.
    """
    sources = [token_source(t, column) for t in catalogue.tables for column in t.token_columns]
    if not sources:
        return ()
    # A short hash is quickly grouped; that two envelopes are one is then told by their digests.
    every = sa.union_all(
        *(sa.select(_hash(s).label("hash")).where(sql.is_envelope(s.stored)) for s in sources)
    )
    hashed = every.subquery()
    twice = sa.select(hashed.c.hash).group_by(hashed.c.hash).having(sa.func.count() > 1)
    with connected(engine, cancelled=cancelled) as connection, patient(connection, LONGEST_SECONDS):
        repeated = list(connection.scalars(twice.limit(FEW + 1)))
        if not repeated:
            return ()
        # Where they are few, they need not be found again.
        few = len(repeated) <= FEW
        hashes = sql.unnested("twice", {"hash": (repeated, sa.BigInteger)}) if few else twice.cte("twice")
        rows = connection.execute(_copies(sources, hashes)).all()
    found: dict[Format, list[Any]] = {}
    for row in rows:
        found.setdefault(Format(row.format), []).append(row)
    return tuple(
        Copies(
            format_,
            some[0].envelopes,
            some[0].places,
            tuple(tuple(sorted(_placed(sources, place) for place in row.named)) for row in some),
        )
        for format_, some in sorted(found.items())
    )


def _usual(counts: dict[Format, int]) -> Format:
    """The version of most envelopes; of as many, the older one."""
    return max(ENVELOPE_FORMATS, key=lambda format_: counts[format_])


def _some(
    connection: sa.Connection, source: TokenSource, condition: sa.ColumnElement[bool]
) -> tuple[TokenRef, ...]:
    found = connection.scalars(sa.select(source.id_text).where(condition).limit(NAMED))
    return tuple(sorted(source.ref(identity) for identity in found))


def _foreign(connection: sa.Connection, source: TokenSource) -> Iterable[ForeignTokens]:
    shown = "provider" in source.table.shown
    whose_rows = None if shown else TOKENS_OF.get(source.table.provider.lower())
    if not shown and whose_rows is None:
        return
    prefixes = [p for theirs, some in PROVIDER_PREFIXES.items() if theirs != whose_rows for p in some]
    provider: Any = (
        sa.func.lower(source.source.c.provider) if shown else sa.literal(source.table.provider.lower())
    )
    own = sa.case(
        *((provider == name, sa.literal(whose)) for name, whose in TOKENS_OF.items()), else_=sa.null()
    )
    told = (
        sa.select(
            sa.cast(provider, SqlText).label("provider"),
            sql.plaintext_provider_of(source.stored).label("theirs"),
            sa.cast(own, SqlText).label("own"),
            source.id_text.label("id"),
        )
        .where(sa.not_(sql.is_envelope(source.stored)), sql.starts_with_any(source.stored, prefixes))
        .subquery()
    )
    t = told.c
    ids = sa.func.array_agg(aggregate_order_by(t.id, t.id), type_=ARRAY(SqlText))[1:NAMED]
    pairs = sa.select(t.provider, t.theirs, sa.func.count(), ids).where(t.own != t.theirs)
    for whose, theirs, tokens, named in connection.execute(
        pairs.group_by(t.provider, t.theirs).order_by(t.provider, t.theirs)
    ):
        yield ForeignTokens(source.of, whose, theirs, tokens, tuple(source.ref(i) for i in named))


def _hash(source: TokenSource) -> Any:
    return sa.func.hashtextextended(source.stored, 0)


def _copies(sources: list[TokenSource], twice: Any) -> Any:
    """Some repeated envelopes, and how many there are of their version."""
    tokens = sa.union_all(
        *(
            sa.select(
                sql.format_of(source.stored).label("format"),
                sql.digest_of(source.stored).label("digest"),
                sa.func.concat(number, ":", source.id_text).label("place"),
            ).where(sql.is_envelope(source.stored), _hash(source).in_(sa.select(twice.c.hash)))
            for number, source in enumerate(sources)
        )
    ).subquery()
    t = tokens.c
    named = sa.func.array_agg(aggregate_order_by(t.place, t.place), type_=ARRAY(SqlText))[1:NAMED]
    places = sa.func.count().label("number")
    copied = sa.select(t.format, places, named.label("named")).group_by(t.format, t.digest)
    c = copied.having(sa.func.count() > 1).subquery().c
    ranked = sa.select(
        c.format,
        c.named,
        sa.func.count().over(partition_by=c.format).label("envelopes"),
        sa.func.sum(c.number).over(partition_by=c.format).label("places"),
        sa.func.row_number().over(partition_by=c.format, order_by=(c.number.desc(), c.named)).label("rank"),
    ).subquery()
    return sa.select(ranked).where(ranked.c.rank <= NAMED).order_by(ranked.c.format, ranked.c.rank)


def _placed(sources: list[TokenSource], place: str) -> TokenRef:
    number, _, identity = place.partition(":")
    return sources[int(number)].ref(identity)

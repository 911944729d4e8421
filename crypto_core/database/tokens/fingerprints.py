"""The index of tokens, `keydeck.fingerprint`: which row held which token, by an HMAC that says nothing else.

An entry is about one stored envelope, which its digest names, and it stays true of it: it counts while the
row holds that envelope, and tells what an envelope was that Keydeck replaced and keeps. Whoever reads entries
verifies their bond, which only who has the index's key can make. What keeps and asks it is a capability's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from threading import Event
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert as upsert

from crypto_core.database.connection.engine import connected
from crypto_core.database.qualified_sql import text
from crypto_core.database.schema import envelope_backup, fingerprint, fingerprint_key
from crypto_core.database.tokens.catalogue import LiveCatalogue
from crypto_core.database.tokens.expressions import digest_of, is_among, unnested
from crypto_core.database.tokens.tables import TokenColumn
from crypto_core.database.tokens.token_source import TokenSource
from crypto_core.values.clean_text import cleans
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import Secret

Carrier = Callable[[sa.Connection, Sequence[tuple[TokenRef, bytes, bytes]]], None]
"""Keeps the index of tokens true: the references with their old and new digests."""
_PAGE = 10_000
_MAY = text(
    """
    SELECT coalesce(bool_and(CASE
        WHEN to_regclass(place) IS NULL THEN false ELSE has_table_privilege(to_regclass(place), :right)
    END), false) FROM unnest(ARRAY['keydeck.fingerprint', 'keydeck.fingerprint_key']) place
    """
)


@dataclass(frozen=True, slots=True)
class IndexKey:
    number: int
    encrypted_key: bytes = field(repr=False)
    key_arn: str
    made_at: datetime


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """An entry: a stored envelope's token by an HMAC, and the HMAC of the entry."""

    ref: TokenRef
    digest: bytes = field(repr=False)
    fingerprint: bytes = field(repr=False)
    bond: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
@cleans(unknown=500)
class OutsideRows:
    """Rows outside of some that hold one of their tokens, as far as the index knows; and what it doesn't."""

    references: tuple[TokenRef, ...]
    unknown: str = ""


class KeptIndex(Protocol):
    """The index of tokens, as others ask it and keep it true. What asks raises DatabaseError."""

    def sharing(self, ref: TokenRef) -> tuple[TokenRef, ...] | None:
        """Return the other rows that hold a row's token; None where the index doesn't know the row."""

    def outside(self, refs: Sequence[TokenRef], cancelled: Event | None = None) -> OutsideRows:
        """Return the rows outside of some that hold one of their tokens. Raises InterruptedRunError too."""

    def carrier(self) -> Carrier | None:
        """Return what keeps the index true when envelopes are replaced; None where there is no index."""

    def note_token(self, ref: TokenRef, digest: bytes, token: Secret) -> None:
        """Note a token that was just written as the envelope with this digest. Raises nothing of ours."""


def not_indexed(number: int, column: Any, row_id: Any, digest: Any, of: Any) -> sa.ColumnElement[bool]:
    """True for stored values in `of` about which there is no entry under the index's key of this number.

    A subquery with a value is asked row by row by the primary key; PostgreSQL makes no join of it, which may
    be a slow one as long as it knows nothing of the table.
    """
    f = fingerprint.c
    about = (f.token_column == column, f.row_id == row_id, f.digest == digest)
    entry = sa.select(sa.literal(1)).where(f.key_id == number, *about).limit(1)
    result: sa.ColumnElement[bool] = entry.correlate(of).scalar_subquery().is_(None)
    return result


def index_key(engine: sa.Engine) -> IndexKey | None:
    c = fingerprint_key.c
    newest = sa.select(c.id, c.encrypted_key, c.key_arn, c.made_at).order_by(c.id.desc()).limit(1)
    with connected(engine) as connection:
        row = connection.execute(newest).first()
    return None if row is None else IndexKey(row[0], bytes(row[1]), row[2], row[3])


def note_entries(connection: sa.Connection, number: int, entries: Sequence[Fingerprint]) -> None:
    """Keep entries under the key of this number, in the transaction. What is there already stays."""
    if not entries:
        return
    columns: dict[str, tuple[list[Any], Any]] = {
        "token_column": ([_column(e.ref) for e in entries], sa.Text),
        "row_id": ([e.ref.identity for e in entries], sa.Text),
        "digest": ([e.digest for e in entries], sa.LargeBinary),
        "fingerprint": ([e.fingerprint for e in entries], sa.LargeBinary),
        "bond": ([e.bond for e in entries], sa.LargeBinary),
    }
    new = unnested("new", columns)
    same: list[Any] = [sa.cast(sa.literal(number), sa.BigInteger), sa.func.statement_timestamp()]
    told = sa.select(*same, *(new.c[name] for name in columns))
    statement = upsert(fingerprint).from_select(["key_id", "noted_at", *columns], told)
    connection.execute(statement.on_conflict_do_nothing())


class FingerprintTable:
    def __init__(self, engine: sa.Engine, catalogue: LiveCatalogue) -> None:
        self._engine = engine
        self._catalogue = catalogue

    def may(self, right: str) -> bool:
        """Whether the tables are there and the role has SELECT or INSERT on them."""
        with connected(self._engine) as connection:
            return bool(connection.scalar(_MAY, {"right": right}))

    def key(self) -> IndexKey | None:
        return index_key(self._engine)

    def keep_key(self, encrypted_key: bytes, key_arn: str) -> IndexKey:
        """Keep the index's new key, unless another was kept in the meantime."""
        values = {"encrypted_key": encrypted_key, "key_arn": key_arn, "made_at": sa.func.clock_timestamp()}
        with connected(self._engine, write=True) as connection:
            connection.execute(text("LOCK TABLE keydeck.fingerprint_key IN SHARE ROW EXCLUSIVE MODE"))
            if not connection.scalar(sa.select(sa.func.count()).select_from(fingerprint_key)):
                connection.execute(sa.insert(fingerprint_key).values(values))
        kept = self.key()
        assert kept is not None  # noqa: S101  # it was written here, or was there
        return kept

    def of_tokens(self, number: int, fingerprints: Sequence[bytes]) -> list[Fingerprint]:
        f = fingerprint.c
        asked = is_among(f.fingerprint, fingerprints, sa.LargeBinary)
        with connected(self._engine) as connection:
            return self._entries(connection, _read(number).where(asked))

    def of_values(
        self, connection: sa.Connection, number: int, values: Sequence[tuple[TokenRef, bytes]]
    ) -> list[Fingerprint]:
        f = fingerprint.c
        columns: Mapping[str, tuple[list[Any], Any]] = {
            "token_column": ([_column(ref) for ref, _ in values], sa.Text),
            "row_id": ([ref.identity for ref, _ in values], sa.Text),
            "digest": ([digest for _, digest in values], sa.LargeBinary),
        }
        asked = unnested("asked", columns)
        same = (f[name] == asked.c[name] for name in columns)
        return self._entries(connection, _read(number).where(*same)) if values else []

    def pages(self, number: int) -> Iterator[list[Fingerprint]]:
        f = fingerprint.c
        order = (f.token_column, f.row_id, f.digest)
        after: tuple[Any, ...] | None = None
        while True:
            page = _read(number).order_by(*order).limit(_PAGE)
            if after is not None:
                page = page.where(sa.tuple_(*order) > sa.tuple_(*after))
            with connected(self._engine) as connection:
                rows = self._entries(connection, page)
            if not rows:
                return
            after = (_column(rows[-1].ref), rows[-1].ref.identity, rows[-1].digest)
            yield rows

    def count(self, number: int) -> int:
        counted = sa.select(sa.func.count()).select_from(fingerprint).where(fingerprint.c.key_id == number)
        with connected(self._engine) as connection:
            return int(connection.scalar(counted) or 0)

    def shared(self, number: int, limit: int) -> list[tuple[Fingerprint, ...]]:
        """Return the entries of tokens in several rows, by token, those of most rows first."""
        f = fingerprint.c
        rows = sa.func.count(sa.func.distinct(sa.tuple_(f.token_column, f.row_id)))
        several = sa.select(f.fingerprint).where(f.key_id == number).group_by(f.fingerprint).having(rows > 1)
        some = several.order_by(rows.desc(), f.fingerprint).limit(limit).subquery()
        with connected(self._engine) as connection:
            found = self._entries(
                connection, _read(number).where(f.fingerprint.in_(sa.select(some.c.fingerprint)))
            )
        groups: dict[bytes, list[Fingerprint]] = {}
        for one in found:
            groups.setdefault(one.fingerprint, []).append(one)
        return [tuple(group) for group in groups.values()]

    def forget_stale(self, source: TokenSource, number: int) -> int:
        """Forget the entries about values of a column that are neither stored nor kept; returns how many.

        Those of another key are forgotten, too.
        """
        f, b = fingerprint.c, envelope_backup.c
        there = sa.select(sa.literal(1)).select_from(source.source)
        there = there.where(source.id_text == f.row_id, digest_of(source.stored) == f.digest)
        kept = sa.select(sa.literal(1)).where(
            b.token_column == f.token_column, b.row_id == f.row_id, digest_of(b.envelope) == f.digest
        )
        stale = ~there.correlate(fingerprint).exists() & ~kept.correlate(fingerprint).exists()
        statement = sa.delete(fingerprint).where(f.token_column == source.name, (f.key_id != number) | stale)
        with connected(self._engine, write=True) as connection:
            connection.execute(text("SET LOCAL enable_nestloop = off"))  # as many rows on either side
            return connection.execute(statement).rowcount

    def forget_all(self) -> int:
        """Forget all entries and the key; returns the number of entries."""
        with connected(self._engine, write=True) as connection:
            number = connection.execute(sa.delete(fingerprint)).rowcount
            connection.execute(sa.delete(fingerprint_key))
            return number

    def _entries(self, connection: sa.Connection, statement: sa.Select[Any]) -> list[Fingerprint]:
        catalogue = self._catalogue()
        known = {f"{t.name}.{column}": (t, column) for t in catalogue.tables for column in t.token_columns}
        found = []
        for column, row_id, digest, value, bond in connection.execute(statement):
            if column in known:
                table, name = known[column]
                ref = table.ref(name, row_id)
            else:
                ref = TokenColumn.named(column).token(row_id)
            found.append(Fingerprint(ref, bytes(digest), bytes(value), bytes(bond)))
        return found


def _read(number: int) -> sa.Select[Any]:
    f = fingerprint.c
    return sa.select(f.token_column, f.row_id, f.digest, f.fingerprint, f.bond).where(f.key_id == number)


def _column(ref: TokenRef) -> str:
    return f"{ref.table}.{ref.column}"

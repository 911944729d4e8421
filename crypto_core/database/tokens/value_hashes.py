"""Stored values by their SHA-256, reckoned in the database: no value leaves it to be recognised.

A receipt of a caller that names no row has the SHA-256 of the stored value's UTF-8. What was replaced since
is looked for among the envelopes that Keydeck keeps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from threading import Event
from typing import Any

from sqlalchemy import Connection, Engine, LargeBinary, func, literal_column, select

from crypto_core.database.connection.engine import connected
from crypto_core.database.schema import envelope_backup
from crypto_core.database.tokens.catalogue import Catalogue
from crypto_core.database.tokens.expressions import is_among
from crypto_core.database.tokens.tables import TokenColumn
from crypto_core.database.tokens.token_source import token_source
from crypto_core.values.errors import MissingSchemaError
from crypto_core.values.references import TokenRef, token_ref

_AT_ONCE = 10_000
_MOST_OLDER = 200


@dataclass(frozen=True, slots=True)
class ValueHash:
    """In hex; `replaced_at` is None for the value that is stored now."""

    sha256: str
    replaced_at: datetime | None


@dataclass(frozen=True, slots=True)
class ValuePlace:
    """`replaced_at` is None where it is stored now."""

    ref: TokenRef
    replaced_at: datetime | None


@dataclass(frozen=True, slots=True)
class ValueHashes:
    engine: Engine
    catalogue: Callable[[], Catalogue]

    def of_token(self, ref: TokenRef) -> tuple[ValueHash, ...]:
        """Return a token's value as stored now, and those that Keydeck replaced, the newest first.

        Raises InvalidReferenceError, DatabaseError.
        """
        source = token_source(self.catalogue().table(ref.table), ref.column)
        stored = select(_sha256(source.stored)).where(
            source.is_one_of([ref.identity]), source.stored.is_not(None)
        )
        with connected(self.engine) as connection:
            now = [ValueHash(bytes(one).hex(), None) for one in connection.scalars(stored)]
        b = envelope_backup.c
        older = select(_sha256(b.envelope), b.replaced_at).where(
            b.token_column == f"{ref.table}.{ref.column}", b.row_id == ref.identity, b.envelope.is_not(None)
        )
        try:
            with connected(self.engine) as connection:
                rows = connection.execute(older.order_by(b.replaced_at.desc()).limit(_MOST_OLDER)).all()
        except MissingSchemaError:
            rows = []  # without its schema Keydeck has replaced nothing
        return (*now, *(ValueHash(bytes(one).hex(), at) for one, at in rows))

    def places_of(
        self, hashes: Sequence[str], *, cancelled: Event | None = None
    ) -> dict[str, tuple[ValuePlace, ...]]:
        """Return where values with these SHA-256 are stored now, or were before; others are left out.

        Every token is hashed in the database, once for each 10,000 values. Raises DatabaseError,
        InterruptedRunError.
        """
        found: dict[str, list[ValuePlace]] = {}
        for start in range(0, len(hashes), _AT_ONCE):
            some = [bytes.fromhex(one) for one in hashes[start : start + _AT_ONCE]]
            catalogue = self.catalogue()
            with connected(self.engine, cancelled=cancelled) as connection:
                for digest, place in _stored(connection, catalogue, some):
                    found.setdefault(digest, []).append(place)
            try:
                with connected(self.engine, cancelled=cancelled) as connection:
                    for digest, place in _replaced(connection, catalogue, some):
                        found.setdefault(digest, []).append(place)
            except MissingSchemaError:
                continue
        return {digest: tuple(places) for digest, places in found.items()}


def _stored(
    connection: Connection, catalogue: Catalogue, hashes: Sequence[bytes]
) -> Iterator[tuple[str, ValuePlace]]:
    for table in catalogue.tables:
        for column in table.token_columns:
            source = token_source(table, column, whole=True)
            digest = _sha256(source.stored)
            with_hash = (source.stored.is_not(None), is_among(digest, hashes, LargeBinary))
            for one, identity in connection.execute(select(digest, source.id_text).where(*with_hash)):
                yield bytes(one).hex(), ValuePlace(source.ref(identity), None)


def _replaced(
    connection: Connection, catalogue: Catalogue, hashes: Sequence[bytes]
) -> Iterator[tuple[str, ValuePlace]]:
    documents = {table.name: table.documents for table in catalogue.tables}
    b = envelope_backup.c
    digest = _sha256(b.envelope)
    with_hash = (b.envelope.is_not(None), is_among(digest, hashes, LargeBinary))
    columns = select(digest, b.token_column, b.row_id, b.replaced_at)
    for one, name, row_id, at in connection.execute(columns.where(*with_hash).order_by(b.replaced_at.desc())):
        of = TokenColumn.named(name)
        member = of.column in documents.get(of.table, ())
        ref = token_ref(of.table, of.column, row_id) if member else TokenRef(of.table, of.column, row_id)
        yield bytes(one).hex(), ValuePlace(ref, at)


def _sha256(stored: Any) -> Any:
    return func.sha256(func.convert_to(stored, literal_column("'UTF8'")))

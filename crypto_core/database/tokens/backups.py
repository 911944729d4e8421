"""Envelopes that Keydeck has replaced and keeps, until they are purged: under a key, of a token, of a job.

They tell which tokens Keydeck has written, and not the platform. A plaintext or dev value is never backed up:
of those that Keydeck encrypted in place only the journal tells.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    JSON,
    ColumnElement,
    Engine,
    LargeBinary,
    Select,
    Text,
    bindparam,
    cast,
    func,
    literal,
    select,
    tuple_,
)
from sqlalchemy.dialects.postgresql import ARRAY

from crypto_core.database.connection.engine import connected
from crypto_core.database.connection.repeating import repeated_if_rolled_back
from crypto_core.database.schema import envelope_backup, journal
from crypto_core.database.tokens.catalogue import Catalogue
from crypto_core.database.tokens.expressions import digest_of, format_of, has_token_bytes
from crypto_core.database.tokens.fingerprints import not_indexed
from crypto_core.database.tokens.store import StoredToken, digest
from crypto_core.database.tokens.tables import TokenColumn
from crypto_core.envelope import Format, classify
from crypto_core.errors import MissingSchemaError
from crypto_core.guard.outcome import Outcome
from crypto_core.key_names import same_key
from crypto_core.references import TokenRef
from crypto_core.secret import Secret

_MOST = 50
_PAGE = 1_000
_PURGED = 10_000
"""How many envelopes are forgotten in one transaction."""


@dataclass(frozen=True, slots=True)
class KeptEnvelope:
    """An envelope that can be put back. `number` tells it from all others that are kept."""

    number: int
    envelope: str = field(repr=False)
    key_arn: str | None


@dataclass(frozen=True, slots=True)
class Replaced:
    """How one token was stored until Keydeck wrote it anew at `replaced_at`."""

    format: Format
    key_arn: str | None
    key_material_id: str | None
    replaced_at: datetime


def backups_under(engine: Engine, key_arn: str) -> int:
    """Return the number of replaced envelopes under a key, all its replicas together.

    Raises DatabaseError, MissingSchemaError where Keydeck's schema isn't there.
    """
    b = envelope_backup.c
    by_key = select(b.key_arn, func.count()).where(b.envelope.is_not(None)).group_by(b.key_arn)
    with connected(engine) as connection:
        rows = connection.execute(by_key).all()
    return sum(number for arn, number in rows if arn and same_key(arn, key_arn))


def replaced(engine: Engine, ref: TokenRef) -> tuple[Replaced, ...]:
    """Return how a token was stored before, as far as Keydeck keeps it, the newest first.

    No envelope leaves the database. Raises DatabaseError, MissingSchemaError where the schema isn't there.
    """
    b = envelope_backup.c
    kept = (
        select(format_of(b.envelope), b.key_arn, b.key_material_id, b.replaced_at)
        .where(
            b.token_column == f"{ref.table}.{ref.column}", b.row_id == ref.identity, b.envelope.is_not(None)
        )
        .order_by(b.replaced_at.desc())
        .limit(_MOST)
    )
    with connected(engine) as connection:
        rows = connection.execute(kept).all()
    return tuple(Replaced(Format(format_), arn, material, at) for format_, arn, material, at in rows)


def with_backup(engine: Engine, refs: Iterable[TokenRef]) -> frozenset[TokenRef]:
    """Return those of some tokens of which an earlier envelope is kept. Raises DatabaseError."""
    b = envelope_backup.c
    names = {(f"{ref.table}.{ref.column}", ref.identity): ref for ref in refs}
    kept = select(b.token_column, b.row_id).distinct()
    with connected(engine) as connection:
        rows = connection.execute(
            kept.where(tuple_(b.token_column, b.row_id).in_(names), b.envelope.is_not(None))
        ).all()
    return frozenset(names[column, row_id] for column, row_id in rows)


def previous(engine: Engine, run_id: UUID, digests: Sequence[bytes]) -> dict[bytes, str]:
    """Return the envelopes that stood where a run wrote these values, by the values' digests.

    Raises DatabaseError.
    """
    b = envelope_backup.c
    told = bindparam("digests", list(digests), ARRAY(LargeBinary))
    kept = (
        select(b.written_digest, b.envelope)
        .where(b.run_id == run_id, b.written_digest == func.any(told), b.envelope.is_not(None))
        .order_by(b.id)
    )
    with connected(engine) as connection:
        return {bytes(digest): envelope for digest, envelope in connection.execute(kept)}


def stood_before(
    engine: Engine,
    tokens: Sequence[StoredToken],
    *,
    run_id: UUID | None = None,
    since: datetime | None = None,
) -> dict[TokenRef, KeptEnvelope]:
    """Return the newest kept envelopes whose place the values of these tokens took, by token.

    With `run_id` and `since`, only those that were replaced by this run, or since then. Raises DatabaseError.
    """
    b = envelope_backup.c
    asked = {(f"{t.ref.table}.{t.ref.column}", t.ref.identity, t.digest): t.ref for t in tokens}
    told = bindparam("digests", [t.digest for t in tokens], ARRAY(LargeBinary))
    which = [b.written_digest == func.any(told), b.envelope.is_not(None)]
    which += [b.run_id == run_id] if run_id is not None else []
    which += [b.replaced_at >= since] if since is not None else []
    named = select(b.token_column, b.row_id, b.written_digest, b.id, b.envelope, b.key_arn)
    with connected(engine) as connection:
        rows = connection.execute(named.where(*which).order_by(b.id)).all()
    found = ((asked.get((column, row_id, bytes(digest))), kept) for column, row_id, digest, *kept in rows)
    return {ref: KeptEnvelope(*kept) for ref, kept in found if ref is not None}


def replaced_values(
    engine: Engine,
    catalogue: Catalogue,
    columns: Sequence[TokenColumn],
    token_bytes: frozenset[int] = frozenset(),
    unindexed: int | None = None,
) -> Iterator[list[tuple[StoredToken, bytes]]]:
    """Give, page by page, the kept envelopes of some columns, each with the digest of what took its place.

    Left out are those whose token has none of the lengths `token_bytes`, if there are any, and those that the
    index of tokens has under its key `unindexed`. Raises DatabaseError, MissingSchemaError where the schema
    isn't there.
    """
    b = envelope_backup.c
    which: list[ColumnElement[bool]] = [b.envelope.is_not(None)]
    which += [b.token_column.in_([str(column) for column in columns])]
    which += [has_token_bytes(b.envelope, token_bytes)] if token_bytes else []
    if unindexed is not None:
        about = (b.token_column, b.row_id, digest_of(b.envelope))
        which.append(not_indexed(unindexed, *about, of=envelope_backup))
    page = select(b.id, b.token_column, b.row_id, b.envelope, b.written_digest).where(*which)
    after = 0
    while True:
        with connected(engine) as connection:
            rows = connection.execute(page.where(b.id > after).order_by(b.id).limit(_PAGE)).all()
        if not rows:
            return
        after = rows[-1].id
        yield [(_stored(catalogue, *row[1:4]), bytes(row.written_digest or b"")) for row in rows]


def replaced_when(
    engine: Engine, values: Sequence[tuple[int, TokenRef, bytes]]
) -> dict[tuple[TokenRef, bytes], datetime]:
    """Return when some kept envelopes were replaced, by token and digest. Raises DatabaseError."""
    b = envelope_backup.c
    named = {(f"{ref.table}.{ref.column}", ref.identity): ref for _, ref, _ in values}
    if not named:
        return {}
    kept = select(b.token_column, b.row_id, b.envelope, b.replaced_at).order_by(b.id)
    rows_of_them = tuple_(b.token_column, b.row_id).in_(list(named))
    with connected(engine) as connection:
        rows = connection.execute(kept.where(rows_of_them, b.envelope.is_not(None))).all()
    return {(named[column, row_id], digest(envelope)): at for column, row_id, envelope, at in rows}


def _stored(catalogue: Catalogue, column: str, identity: str, envelope: str) -> StoredToken:
    of = TokenColumn.named(column)
    ref = catalogue.table(of.table).ref(of.column, identity)
    return StoredToken(ref, classify(envelope).format, Secret.of(envelope), digest(envelope))


def backed_up(
    engine: Engine, run_id: UUID | None, *, since: datetime | None = None
) -> Iterator[list[TokenRef]]:
    """Give, page by page, the tokens whose previous envelopes are kept: of a run, of all since some time.

    Raises DatabaseError.
    """
    b = envelope_backup.c
    which: list[ColumnElement[bool]] = [b.envelope.is_not(None), b.written_digest.is_not(None)]
    which += [b.run_id == run_id] if run_id is not None else []
    which += [b.replaced_at >= since] if since is not None else []
    after = 0
    while True:
        page = select(b.id, b.token_column, b.row_id).where(*which, b.id > after).order_by(b.id).limit(_PAGE)
        with connected(engine) as connection:
            rows = connection.execute(page).all()
        if not rows:
            return
        after = rows[-1].id
        for_each = ((TokenColumn.named(column), row_id) for _, column, row_id in rows)
        yield [TokenRef(of.table, of.column, row_id) for of, row_id in for_each]


def keys_of(engine: Engine, run_id: UUID) -> tuple[str, ...]:
    """Return the ARNs of the keys that a run's kept envelopes are under. Raises DatabaseError."""
    b = envelope_backup.c
    named = select(b.key_arn).where(b.run_id == run_id, b.envelope.is_not(None), b.key_arn.is_not(None))
    with connected(engine) as connection:
        return tuple(sorted(connection.scalars(named.distinct())))


def kept(engine: Engine, *, run_id: UUID | None = None, before: datetime | None = None) -> int:
    """Return how many replaced envelopes `purge` would forget. Raises DatabaseError."""
    counted = select(func.count()).select_from(envelope_backup).where(*_which(run_id, before))
    with connected(engine) as connection:
        return int(connection.scalar(counted) or 0)


def purge(
    engine: Engine, who: tuple[str, str], *, run_id: UUID | None = None, before: datetime | None = None
) -> int:
    """Forget the replaced envelopes of a run, or those replaced before a moment, or all; returns how many.

    `who` are the actor and the host for the entries that the database itself makes with each thousands. That
    Keydeck wrote the tokens stays known. Raises DatabaseError; what was forgotten before stays so.
    """
    purged = 0
    while number := _purge_some(engine, *who, run_id, before):
        purged += number
    return purged


@repeated_if_rolled_back
def _purge_some(engine: Engine, actor: str, host: str, run_id: UUID | None, before: datetime | None) -> int:
    call = select(func.keydeck.purge_envelopes(actor, host, run_id, before, _PURGED))
    with connected(engine, write=True) as connection:
        return int(connection.scalar(call) or 0)


def _which(run_id: UUID | None, before: datetime | None) -> list[ColumnElement[bool]]:
    b = envelope_backup.c
    which: list[ColumnElement[bool]] = [b.envelope.is_not(None)]
    which += [b.run_id == run_id] if run_id is not None else []
    which += [b.replaced_at < before] if before is not None else []
    return which


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

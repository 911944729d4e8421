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

import sqlalchemy as sa
from sqlalchemy import ColumnElement, Engine, Select, func, select

from crypto_core.database.connection.engine import connected
from crypto_core.database.connection.transactions import repeated_if_rolled_back
from crypto_core.database.schema import envelope_backup, journal
from crypto_core.database.tokens.catalogue import Catalogue
from crypto_core.database.tokens.expressions import digest_of, format_of, has_token_bytes, is_among
from crypto_core.database.tokens.fingerprints import not_indexed
from crypto_core.database.tokens.store import StoredToken, digest
from crypto_core.database.tokens.tables import TokenColumn
from crypto_core.envelope import Format, classify
from crypto_core.guard.guarded_change import Outcome
from crypto_core.values.errors import MissingSchemaError
from crypto_core.values.key_names import same_key
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import Secret

_MOST = 50
_PAGE = 1_000
_PURGED = 10_000


@dataclass(frozen=True, slots=True)
class KeptEnvelope:
    """An envelope that can be put back; `number` is its backup's."""

    number: int
    envelope: str = field(repr=False)
    key_arn: str | None


@dataclass(frozen=True, slots=True)
class Replaced:
    format: Format
    key_arn: str | None
    key_material_id: str | None
    replaced_at: datetime


_B = envelope_backup.c


def backups_under(engine: Engine, key_arn: str) -> int:
    """Return the number of replaced envelopes under a key, all its replicas together.

    Raises DatabaseError, MissingSchemaError where Keydeck's schema isn't there.
    """
    rows = _rows(engine, select(_B.key_arn, func.count()).where(*_kept()).group_by(_B.key_arn))
    return sum(number for arn, number in rows if arn and same_key(arn, key_arn))


def replaced(engine: Engine, ref: TokenRef) -> tuple[Replaced, ...]:
    """Return how a token was stored before, as far as Keydeck keeps it, the newest first.

    No envelope leaves the database. Raises DatabaseError, MissingSchemaError where the schema isn't there.
    """
    columns = (format_of(_B.envelope), _B.key_arn, _B.key_material_id, _B.replaced_at)
    found = select(*columns).where(_is_of([ref]), *_kept()).order_by(_B.replaced_at.desc()).limit(_MOST)
    return tuple(Replaced(Format(format_), *others) for format_, *others in _rows(engine, found))


def with_backup(engine: Engine, refs: Iterable[TokenRef]) -> frozenset[TokenRef]:
    """Return those of some tokens that have a kept envelope. Raises DatabaseError."""
    names = _by_place(refs)
    found = select(_B.token_column, _B.row_id).distinct().where(_is_of(names.values()), *_kept())
    return frozenset(names[column, row_id] for column, row_id in _rows(engine, found))


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
    asked = {(f"{t.ref.table}.{t.ref.column}", t.ref.identity, t.digest): t.ref for t in tokens}
    took = is_among(_B.written_digest, (t.digest for t in tokens), sa.LargeBinary)
    named = select(_B.token_column, _B.row_id, _B.written_digest, _B.id, _B.envelope, _B.key_arn)
    rows = _rows(engine, named.where(took, *_kept(run_id=run_id, since=since)).order_by(_B.id))
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
    which = [*_kept(), _B.token_column.in_([str(column) for column in columns])]
    which += [has_token_bytes(_B.envelope, token_bytes)] if token_bytes else []
    if unindexed is not None:
        about = (_B.token_column, _B.row_id, digest_of(_B.envelope))
        which.append(not_indexed(unindexed, *about, of=envelope_backup))
    columns_ = (_B.id, _B.token_column, _B.row_id, _B.envelope, _B.written_digest)
    for rows in _pages(engine, select(*columns_).where(*which)):
        yield [(_stored(catalogue, *row[1:4]), bytes(row.written_digest or b"")) for row in rows]


def replaced_when(
    engine: Engine, values: Sequence[tuple[int, TokenRef, bytes]]
) -> dict[tuple[TokenRef, bytes], datetime]:
    """Return when some kept envelopes were replaced, by token and digest. Raises DatabaseError."""
    named = _by_place(ref for _, ref, _ in values)
    if not named:
        return {}
    kept = select(_B.token_column, _B.row_id, _B.envelope, _B.replaced_at).order_by(_B.id)
    rows = _rows(engine, kept.where(_is_of(named.values()), *_kept()))
    return {(named[column, row_id], digest(envelope)): at for column, row_id, envelope, at in rows}


def backed_up(
    engine: Engine, run_id: UUID | None, *, since: datetime | None = None
) -> Iterator[list[TokenRef]]:
    """Give, page by page, the tokens whose previous envelopes are kept: of a run, of all since some time.

    Raises DatabaseError.
    """
    which = (*_kept(run_id=run_id, since=since), _B.written_digest.is_not(None))
    for rows in _pages(engine, select(_B.id, _B.token_column, _B.row_id).where(*which)):
        yield [TokenColumn.named(column).token(row_id) for _, column, row_id in rows]


def keys_of(engine: Engine, run_id: UUID) -> tuple[str, ...]:
    """Return the keys of a run's kept envelopes. Raises DatabaseError."""
    named = select(_B.key_arn).where(*_kept(run_id=run_id), _B.key_arn.is_not(None)).distinct()
    return tuple(sorted(arn for (arn,) in _rows(engine, named)))


def kept(engine: Engine, *, run_id: UUID | None = None, before: datetime | None = None) -> int:
    """Return how many replaced envelopes `purge` would forget. Raises DatabaseError."""
    ((number,),) = _rows(engine, select(func.count()).where(*_kept(run_id=run_id, before=before)))
    return int(number)


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


def _rows(engine: Engine, statement: Select[Any]) -> Sequence[Any]:
    with connected(engine) as connection:
        return connection.execute(statement).all()


def _pages(engine: Engine, statement: Select[Any]) -> Iterator[Sequence[Any]]:
    after = 0
    while rows := _rows(engine, statement.where(_B.id > after).order_by(_B.id).limit(_PAGE)):
        after = rows[-1].id
        yield rows


def _kept(
    *, run_id: UUID | None = None, since: datetime | None = None, before: datetime | None = None
) -> list[ColumnElement[bool]]:
    """The conditions for what is not purged: of a run, replaced since a moment or before one."""
    which: list[ColumnElement[bool]] = [_B.envelope.is_not(None)]
    which += [_B.run_id == run_id] if run_id is not None else []
    which += [_B.replaced_at >= since] if since is not None else []
    which += [_B.replaced_at < before] if before is not None else []
    return which


def _by_place(refs: Iterable[TokenRef]) -> dict[tuple[str, str], TokenRef]:
    return {(f"{ref.table}.{ref.column}", ref.identity): ref for ref in refs}


def _is_of(refs: Iterable[TokenRef]) -> ColumnElement[bool]:
    return sa.tuple_(_B.token_column, _B.row_id).in_(list(_by_place(refs)))


def _stored(catalogue: Catalogue, column: str, identity: str, envelope: str) -> StoredToken:
    of = TokenColumn.named(column)
    ref = catalogue.table(of.table).ref(of.column, identity)
    return StoredToken(ref, classify(envelope).format, Secret.of(envelope), digest(envelope))


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
    names = _by_place(refs)
    found = select(_B.token_column, _B.row_id).distinct().where(_is_of(refs))
    return frozenset(names[column, row_id] for column, row_id in _rows_if_installed(engine, found))


def _encrypted(engine: Engine, refs: Collection[TokenRef], since: datetime) -> frozenset[TokenRef]:
    names = {str(ref): ref for ref in refs}
    c = journal.c
    told = sa.cast(c.detail, sa.JSON).op("->", return_type=sa.JSON)(sa.literal("references", sa.Text))
    listed = (
        select(func.json_array_elements_text(told).label("reference"))
        .where(c.action == _IN_PLACE, c.outcome == Outcome.DONE.value, c.at >= since)
        .subquery()
    )
    named = listed.c.reference
    found = select(named).where(is_among(named, names, sa.Text)).distinct()
    return frozenset(names[name] for (name,) in _rows_if_installed(engine, found))


def _rows_if_installed(engine: Engine, statement: Select[Any]) -> Sequence[Any]:
    try:
        return _rows(engine, statement)
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

    def is_named(column: TokenColumn) -> bool:
        told = {json.dumps(f"{column}:", ensure_ascii=escaped).removesuffix('"') for escaped in (True, False)}
        found = done.where(sa.or_(*(func.strpos(j.detail, one) > 0 for one in told))).limit(1)
        return bool(_rows_if_installed(journal_engine, found))

    return frozenset(filter(is_named, columns))

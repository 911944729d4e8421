"""The parts of a job: lists of ids, claimed by one process at a time, and given back if that one dies.

A claim is a lease on the database's own clock (clock_timestamp: now() stands still in a transaction). Each
batch of a chunk is counted in the transaction that writes it, and fails there if the lease was lost: so no
token is counted twice, and a process that was stopped for a while writes nothing more.

That clock may go back, where another server takes over. A lease that then ends further ahead than a lease is
long is cut to that length, not to nothing: its holder, if it lives, renews it within that time, and nobody
waits longer for one that doesn't.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import cache
from itertools import groupby
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Text as SqlText
from sqlalchemy.dialects.postgresql import ARRAY, aggregate_order_by
from sqlalchemy.sql.expression import TableClause

from crypto_core.database.connection.engine import connected, patient
from crypto_core.database.dialect import place_oid
from crypto_core.database.qualified_sql import text
from crypto_core.database.schema import job_chunk, job_token
from crypto_core.database.state.jobs import LIVELY_SECONDS
from crypto_core.database.tokens.store import TokenScope, TokenStore
from crypto_core.database.tokens.tables import Picked, TokenColumn
from crypto_core.database.tokens.token_source import TokenSource
from crypto_core.values.errors import LeaseLostError
from crypto_core.values.references import TokenRef

CHUNK = 5_000
ROUNDS = 10
"""Rounds in which a chunk is written; neighbours in the table come in different ones."""
CUT_SECONDS = 600
"""A column is cut in one statement, which reads it whole."""
LISTED = 1_000
LEASE_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class BatchCounts:
    done: int = 0
    conflicts: int = 0
    changed: int = 0
    poisoned: int = 0
    kms_calls: int = 0

    def __add__(self, other: BatchCounts) -> BatchCounts:
        return BatchCounts(*(getattr(self, name) + getattr(other, name) for name in _COUNTS))

    def __sub__(self, other: BatchCounts) -> BatchCounts:
        return BatchCounts(*(getattr(self, name) - getattr(other, name) for name in _COUNTS))


_COUNTS = tuple(f.name for f in fields(BatchCounts))


@dataclass(frozen=True, slots=True)
class Chunk:
    """A claimed part of a job: see schema.job_chunk. `attempt` counts the claims."""

    id: int
    job_id: int
    wave: int
    table_name: str
    column_name: str
    after_id: str | None
    upto_id: str | None
    row_ids: list[str] | None
    expected: int
    position: str | None
    runner_id: UUID
    attempt: int
    done: int
    conflicts: int
    changed: int
    poisoned: int
    kms_calls: int

    @property
    def column(self) -> TokenColumn:
        return TokenColumn(self.table_name, self.column_name)

    @property
    def counted(self) -> BatchCounts:
        return BatchCounts(*(getattr(self, name) for name in _COUNTS))


@dataclass(frozen=True, slots=True)
class Beat:
    state: str
    calls_per_second: float
    working: int
    """Processes that have a chunk, and this one: they share the rate."""
    held: bool


class ChunkStore:
    def __init__(self, engine: sa.Engine, store: TokenStore) -> None:
        self._engine = engine
        self._store = store

    def cut_scope(
        self, connection: sa.Connection, job_id: int, wave: int, scope: TokenScope, *, size: int = CHUNK
    ) -> int:
        """Cut a scope into chunks that list `size` tokens; returns how many tokens it has.

        A column is read once. A chunk's rows lie together, so that each page of the table is written within
        one short time; whatever the ids are like, it is logged whole once then. Of a chunk's rows those that
        lie beside one another come in different batches, so that each finds the space that the last one left:
        its new version stays in its page, and no index is written.
        """
        tokens = 0
        for source, condition in self._store.scoped(scope):
            place = [sa.literal_column("ctid")] if self._has_places(connection, source) else source.order()
            numbered = sa.func.row_number().over(order_by=place)
            inside = sa.select(source.id_text.label("id"), numbered.label("n")).where(condition).subquery()
            part = (inside.c.n - 1) // size
            spread = aggregate_order_by(inside.c.id, inside.c.n % ROUNDS, inside.c.n)
            new = _opened(job_id, wave, source.of)
            told: dict[str, Any] = {name: sa.literal(value) for name, value in new.items()}
            told |= {"row_ids": sa.func.array_agg(spread, type_=ARRAY(SqlText)), "expected": sa.func.count()}
            chunks = sa.select(*told.values()).select_from(inside).group_by(part).order_by(part)
            with patient(connection, CUT_SECONDS):
                tokens += _made(connection, told, chunks)
        return tokens

    def _has_places(self, connection: sa.Connection, source: TokenSource) -> bool:
        """True where rows are read from their table itself: of a view nobody knows where they lie."""
        if not isinstance(source.source, TableClause):
            return False
        names = {"schema": source.table.place, "table": source.table.relation}
        return bool(connection.scalar(_IS_TABLE, names))

    def cut_listed(
        self,
        connection: sa.Connection,
        job_id: int,
        wave: int,
        refs: Iterable[TokenRef],
        *,
        size: int = LISTED,
    ) -> int:
        """Make chunks of these tokens alone; returns how many they are."""
        tokens = 0
        for (table, column), group in groupby(sorted(set(refs)), key=lambda r: (r.table, r.column)):
            ids = [ref.identity for ref in group]
            new = _opened(job_id, wave, TokenColumn(table, column))
            parts = (ids[first : first + size] for first in range(0, len(ids), size))
            rows = [new | {"row_ids": part, "expected": len(part)} for part in parts]
            connection.execute(sa.insert(job_chunk), rows)
            tokens += len(ids)
        return tokens

    def cut_picked(
        self, connection: sa.Connection, job_id: int, wave: int, picked: Picked, *, size: int = LISTED
    ) -> int:
        """Make chunks of these tokens, but for those that the job can't write; returns how many."""
        inside = _left(job_id, picked)
        part = (inside.c.n - 1) // size
        ids = sa.func.array_agg(aggregate_order_by(inside.c.id, inside.c.n), type_=ARRAY(SqlText))
        new = _opened(job_id, wave, picked.column)
        told: dict[str, Any] = {name: sa.literal(value) for name, value in new.items()}
        told |= {"row_ids": ids, "expected": sa.func.count()}
        chunks = sa.select(*told.values()).select_from(inside).group_by(part).order_by(part)
        return _made(connection, told, chunks)

    def count_picked(self, connection: sa.Connection, job_id: int, picked: Picked) -> int:
        counted = sa.select(sa.func.count()).select_from(_left(job_id, picked))
        return int(connection.execute(counted).scalar_one())

    def claim_chunk(self, job_id: int, runner: UUID, lease_seconds: float) -> Chunk | None:
        """Take a free chunk of a running job, or one whose lease has run out."""
        parameters = {"job": job_id, "runner": runner, "lease": lease_seconds, "longest": LEASE_SECONDS}
        with connected(self._engine, write=True, brief=True) as connection:
            row = connection.execute(_CLAIM, parameters).one_or_none()
        return None if row is None else Chunk(*row)

    def renew_lease(self, job_id: int, runner: UUID, chunk: Chunk | None, lease_seconds: float) -> Beat:
        """Report presence, and renew the lease of the process's chunk."""
        parameters = {
            "job": job_id,
            "runner": runner,
            "chunk": chunk.id if chunk else None,
            "attempt": chunk.attempt if chunk else None,
            "lease": lease_seconds,
            "lively": LIVELY_SECONDS,
        }
        with connected(self._engine, write=True, brief=True) as connection:
            state, rate, working, held = connection.execute(_RENEW, parameters).one()
        return Beat(state, rate, max(1, working), chunk is None or bool(held))

    def counted(self, connection: sa.Connection, chunk: Chunk) -> BatchCounts:
        """Return what has been counted of a chunk of ours. Raises LeaseLostError."""
        found = connection.execute(_counted(), _fence(chunk)).one_or_none()
        if found is None:
            raise _lost(chunk)
        return BatchCounts(*found)

    def count_batch(
        self, connection: sa.Connection, chunk: Chunk, position: str | None, counted: BatchCounts
    ) -> None:
        """Count a batch in the transaction that writes it. Raises LeaseLostError: then that must not commit.

        `position` is the last id up to which every token is finished, None for as it was.
        """
        more = {f"more_{name}": getattr(counted, name) for name in _COUNTS}
        if not connection.execute(_counting(), _fence(chunk) | more | {"last": position}).rowcount:
            raise _lost(chunk)

    def finish_chunk(self, chunk: Chunk, counted: BatchCounts) -> None:
        """Tell that a chunk is done. Raises LeaseLostError."""
        changes = _added(counted) | {"state": "done", "lease_until": None}
        with connected(self._engine, write=True, brief=True) as connection:
            self._fenced(connection, chunk, changes)

    def release_chunk(self, chunk: Chunk, position: str | None, counted: BatchCounts) -> None:
        """Give a chunk back, for the next claimant to continue. Raises LeaseLostError."""
        changes = _added(counted, position) | {"state": "open", "runner_id": None, "lease_until": None}
        with connected(self._engine, write=True, brief=True) as connection:
            self._fenced(connection, chunk, changes)

    def left(self, connection: sa.Connection, job_id: int, wave: int) -> int:
        c = job_chunk.c
        unfinished = sa.select(sa.func.count()).where(c.job_id == job_id, c.wave <= wave, c.state != "done")
        return int(connection.execute(unfinished).scalar_one())

    def moved(self, connection: sa.Connection, job_id: int, wave: int) -> int:
        c = job_chunk.c
        sums = sa.func.coalesce(sa.func.sum(c.done + c.changed + c.poisoned), 0)
        return int(connection.execute(sa.select(sums).where(c.job_id == job_id, c.wave == wave)).scalar_one())

    def _fenced(self, connection: sa.Connection, chunk: Chunk, changes: dict[str, object]) -> None:
        if not connection.execute(sa.update(job_chunk).where(*_mine(chunk)).values(changes)).rowcount:
            raise _lost(chunk)


def _opened(job_id: int, wave: int, column: TokenColumn) -> dict[str, Any]:
    of = {"table_name": column.table, "column_name": column.column}
    return {"job_id": job_id, "wave": wave, "state": "open", **of}


def _made(connection: sa.Connection, names: Iterable[str], chunks: sa.Select[Any]) -> int:
    made = sa.insert(job_chunk).from_select(list(names), chunks).returning(job_chunk.c.expected)
    return sum(connection.scalars(made))


def _added(counted: BatchCounts, position: str | None = None) -> dict[str, Any]:
    c = job_chunk.c
    changes: dict[str, Any] = {n: c[n] + more for n in _COUNTS if (more := getattr(counted, n))}
    return changes | ({} if position is None else {"position": sa.literal(position)})


def _mine(chunk: Chunk) -> tuple[sa.ColumnElement[bool], ...]:
    c = job_chunk.c
    held = (c.id == chunk.id, c.runner_id == chunk.runner_id, c.attempt == chunk.attempt)
    return (*held, c.state == "taken")


def _fence(chunk: Chunk) -> dict[str, Any]:
    """The parameters that prove a chunk ours."""
    return {"chunk": chunk.id, "runner": chunk.runner_id, "tried": chunk.attempt}


def _fenced_later() -> tuple[sa.ColumnElement[bool], ...]:
    c = job_chunk.c
    fence = (
        c.id == sa.bindparam("chunk"),
        c.runner_id == sa.bindparam("runner"),
        c.attempt == sa.bindparam("tried"),
    )
    return (*fence, c.state == "taken")


@cache
def _counted() -> sa.Select[Any]:
    counts = (job_chunk.c[name] for name in _COUNTS)
    return sa.select(*counts).where(*_fenced_later()).with_for_update()


@cache
def _counting() -> sa.Update:
    c = job_chunk.c
    more: dict[str, Any] = {name: c[name] + sa.bindparam(f"more_{name}") for name in _COUNTS}
    position = sa.func.coalesce(sa.bindparam("last", type_=SqlText), c.position)
    return sa.update(job_chunk).where(*_fenced_later()).values(more | {"position": position})


def _lost(chunk: Chunk) -> LeaseLostError:
    return LeaseLostError(f"Chunk {chunk.id} of job {chunk.job_id} is another process's by now.")


def _left(job_id: int, picked: Picked) -> sa.Subquery:
    """The ids as text, numbered in their own order, without those that are left out or given up."""
    found = picked.ids.subquery()
    row_id = sa.cast(found.c.id, SqlText)
    c = job_token.c
    given_up = sa.select(c.row_id).where(
        c.job_id == job_id, c.token_column == str(picked.column), c.row_id == row_id, c.resolved_at.is_(None)
    )
    conditions: list[Any] = [~given_up.correlate(found).exists()]
    if picked.but:
        conditions.append(
            row_id.not_in(sa.select(sa.func.unnest(sa.bindparam("but", picked.but, ARRAY(SqlText)))))
        )
    numbered = sa.func.row_number().over(order_by=found.c.id)
    return sa.select(row_id.label("id"), numbered.label("n")).where(*conditions).subquery()


_PLACE = place_oid("CAST(:schema AS text)", "CAST(:table AS text)")
_IS_TABLE = text(
    f"SELECT relkind IN ('r', 'p') AND has_table_privilege(oid, 'SELECT') FROM pg_class WHERE oid = {_PLACE}"  # noqa: S608  # ours
)
"""A row's place takes the right to read the whole table: a role that may read some columns goes by ids."""

_CLAIM = text(
    f"""
    WITH cut AS (
        UPDATE keydeck.job_chunk SET lease_until = clock_timestamp() + make_interval(secs => :lease)
        WHERE id IN (
            SELECT id FROM keydeck.job_chunk
            WHERE job_id = :job AND state <> 'done'
                  AND lease_until > clock_timestamp() + make_interval(secs => greatest(:lease, :longest))
            FOR UPDATE SKIP LOCKED)
    )
    UPDATE keydeck.job_chunk SET state = 'taken', runner_id = :runner, attempt = attempt + 1,
           lease_until = clock_timestamp() + make_interval(secs => :lease)
    WHERE id = (
        SELECT id FROM keydeck.job_chunk
        WHERE job_id = :job AND state <> 'done' AND (state = 'open' OR lease_until < clock_timestamp())
              AND EXISTS (SELECT FROM keydeck.job WHERE id = :job AND state = 'running')
        ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING {", ".join(f.name for f in fields(Chunk))}
    """  # noqa: S608  # names of our own
)

# A batch of our own may hold the chunk's row: it is skipped then, and the next beat renews the lease. Others
# that were seen in what is the future are seen now: if they are gone, they count as gone soon.
_RENEW = text(
    """
    WITH seen AS (
        UPDATE keydeck.job_runner SET seen_at = clock_timestamp()
        WHERE id = :runner OR id IN (
            SELECT id FROM keydeck.job_runner
            WHERE job_id = :job AND ended_at IS NULL AND seen_at > clock_timestamp() FOR UPDATE SKIP LOCKED)
    ), renewed AS (
        UPDATE keydeck.job_chunk SET lease_until = clock_timestamp() + make_interval(secs => :lease)
        WHERE id IN (
            SELECT id FROM keydeck.job_chunk
            WHERE id = :chunk AND runner_id = :runner AND attempt = :attempt AND state = 'taken'
            FOR UPDATE SKIP LOCKED)
    )
    SELECT j.state, j.calls_per_second,
           (SELECT count(*) FROM keydeck.job_runner r WHERE r.job_id = j.id AND r.ended_at IS NULL
                   AND r.seen_at > clock_timestamp() - make_interval(secs => :lively)
                   AND (r.id = :runner OR r.id IN (
                       SELECT t.runner_id FROM keydeck.job_chunk t
                       WHERE t.job_id = j.id AND t.state <> 'done' AND t.runner_id IS NOT NULL))),
           EXISTS (SELECT FROM keydeck.job_chunk c WHERE c.id = :chunk AND c.runner_id = :runner
                   AND c.attempt = :attempt AND c.state = 'taken')
    FROM keydeck.job j WHERE j.id = :job
    """
)

"""Jobs in PostgreSQL, beside the backups: each with where it stands, its counts, and who works on it.

Every moment is the database's clock: hosts need not agree on the time.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Engine, and_, case, func, insert, select, update

from crypto_core.database.connection.engine import connected
from crypto_core.database.connection.transactions import repeated_if_rolled_back
from crypto_core.database.dialect import clock, seconds_ago
from crypto_core.database.schema import job, job_chunk, job_runner, job_token
from crypto_core.values.errors import UnknownJobError

RUNNING, PAUSED, DONE, CANCELLED, FAILED = "running", "paused", "done", "cancelled", "failed"

LIVELY_SECONDS = 2.0
"""A runner silent for this long counts as gone."""


@dataclass(frozen=True, slots=True)
class JobTerms:
    """A confirmed job. `scope`, `plan` and `census_before` are JSON."""

    run_id: UUID
    verb: str
    selection: str
    scope: Mapping[str, Any]
    source_key_arn: str | None
    target_key_arn: str
    write_format: str
    allow_downgrade: bool
    verify: str
    plan: Mapping[str, Any]
    planned: int
    calls_per_second: float
    census_before: Mapping[str, Any] | None
    created_by: str
    host: str


@dataclass(frozen=True, slots=True)
class JobDraft(JobTerms):
    plan_digest: str
    consent: str
    restores: int | None = None


@dataclass(frozen=True, slots=True)
class JobRow(JobTerms):
    id: int
    state: str
    why: str
    wave: int
    zeroes: int
    census_after: Mapping[str, Any] | None
    remarks: Sequence[str]
    created_at: datetime
    started_at: datetime | None
    zero_at: datetime | None
    ended_at: datetime | None
    restores: int | None
    now: datetime


@dataclass(frozen=True, slots=True)
class JobCounts:
    """Sums over a job's chunks. `errors` counts unwritable tokens by kind."""

    errors: Mapping[str, int] = field(default_factory=dict)
    done: int = 0
    conflicts: int = 0
    changed: int = 0
    kms_calls: int = 0
    chunks: int = 0
    chunks_done: int = 0
    left: int = 0


@dataclass(frozen=True, slots=True)
class RunnerRow:
    id: UUID
    job_id: int
    host: str
    pid: int
    actor: str
    started_at: datetime
    seen_at: datetime
    ended_at: datetime | None
    samples: Sequence[Mapping[str, Any]]


class JobStore:
    """The jobs of one database. Thread-safe; every method blocks on SQL and raises DatabaseError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def create(self, connection: Connection, draft: JobDraft) -> int:
        values = asdict(draft) | {"state": RUNNING, "wave": 1, "created_at": clock()}
        return int(connection.execute(insert(job).values(values).returning(job.c.id)).scalar_one())

    def get(self, id_: int, connection: Connection | None = None) -> JobRow:
        """Return a job. Raises UnknownJobError."""
        with self._within(connection) as read:
            row = read.execute(select(*_JOB).where(job.c.id == id_)).one_or_none()
        if row is None:
            raise UnknownJobError(f"There is no job {id_}.")
        return JobRow(*row)

    def list(self, limit: int) -> tuple[JobRow, ...]:
        with connected(self._engine) as connection:
            rows = connection.execute(select(*_JOB).order_by(job.c.id.desc()).limit(limit)).all()
        return tuple(JobRow(*row) for row in rows)

    def change(
        self,
        id_: int,
        to: str,
        among: Collection[str],
        *,
        why: str = "",
        connection: Connection | None = None,
    ) -> bool:
        """Set a job's state if it is one of `among`. Returns False, and changes nothing, if it is not."""
        ended = clock() if to in (DONE, CANCELLED) else None
        statement = (
            update(job)
            .where(job.c.id == id_, job.c.state.in_(among))
            .values(state=to, why=why, ended_at=ended)
        )
        with self._within(connection, write=True) as write:
            return bool(write.execute(statement).rowcount)

    def set(self, id_: int, connection: Connection, **values: Any) -> None:
        connection.execute(update(job).where(job.c.id == id_).values(values))

    def counts(self, ids: Collection[int]) -> dict[int, JobCounts]:
        c = job_chunk.c
        unfinished = c.expected - c.done - c.changed - c.poisoned
        sums = select(
            c.job_id,
            func.sum(c.done),
            func.sum(c.conflicts),
            func.sum(c.changed),
            func.sum(c.kms_calls),
            func.count(),
            func.count().filter(c.state == "done"),
            func.sum(case((and_(c.state != "done", unfinished > 0), unfinished), else_=0)),
        ).group_by(c.job_id)
        t = job_token.c
        kinds = select(t.job_id, t.kind, func.count()).where(t.resolved_at.is_(None))
        errors: dict[int, dict[str, int]] = {}
        with connected(self._engine) as connection:
            for id_, kind, number in connection.execute(
                kinds.where(t.job_id.in_(ids)).group_by(t.job_id, t.kind).order_by(t.kind)
            ):
                errors.setdefault(id_, {})[kind] = number
            rows = connection.execute(sums.where(c.job_id.in_(ids))).all()
        found = {id_: JobCounts(errors.pop(id_, {}), *map(int, sums_)) for id_, *sums_ in rows}
        return found | {id_: JobCounts(kinds_) for id_, kinds_ in errors.items()}

    @repeated_if_rolled_back
    def enlist(self, id_: int, runner: UUID, *, host: str, pid: int, actor: str) -> None:
        now = clock()
        with connected(self._engine, write=True, brief=True) as connection:
            connection.execute(
                insert(job_runner).values(
                    id=runner, job_id=id_, host=host, pid=pid, actor=actor, started_at=now, seen_at=now
                )
            )
            started = func.coalesce(job.c.started_at, now)
            connection.execute(update(job).where(job.c.id == id_).values(started_at=started))

    @repeated_if_rolled_back
    def leave(self, runner: UUID) -> None:
        with connected(self._engine, write=True, brief=True) as connection:
            statement = update(job_runner).where(job_runner.c.id == runner)
            connection.execute(statement.values(ended_at=clock()))

    def runners(self, ids: Collection[int]) -> tuple[RunnerRow, ...]:
        columns = [job_runner.c[f.name] for f in fields(RunnerRow)]
        statement = select(*columns).where(job_runner.c.job_id.in_(ids))
        with connected(self._engine) as connection:
            rows = connection.execute(statement.order_by(job_runner.c.started_at, job_runner.c.id)).all()
        return tuple(RunnerRow(*row) for row in rows)

    def is_first(self, id_: int, runner: UUID) -> bool:
        """Whether no process at work on a job began before this one."""
        c = job_runner.c
        first = select(c.id).where(*_at_work(id_)).order_by(c.started_at, c.id).limit(1)
        with connected(self._engine) as connection:
            return connection.scalar(first) in (None, runner)

    def stands(self, connection: Connection, was: JobRow) -> bool:
        """Return whether a job stands where it did; it does until the transaction's end then.

        Whoever adds to the job meanwhile, such as a process that joins it, need not wait.
        """
        columns = [job.c[name] for name in _STANDING]
        locked = select(*columns).where(job.c.id == was.id).with_for_update(key_share=True)
        now = connection.execute(locked).one()
        return tuple(now) == tuple(getattr(was, name) for name in _STANDING)

    def lively(self, id_: int) -> int:
        with connected(self._engine) as connection:
            return int(connection.scalar(select(func.count()).where(*_at_work(id_))) or 0)

    @repeated_if_rolled_back
    def sample(self, id_: int, runner: UUID, samples: Sequence[Mapping[str, Any]]) -> float:
        """Keep a process's measurements of its last minute; returns the job's mean pace just now."""
        c = job_runner.c
        last = c.samples[-1]
        mean = select(func.avg(last["pace"].as_float()))
        mean = mean.where(*_at_work(id_), last["calls"].as_integer() > 0)
        with connected(self._engine, write=True, brief=True) as connection:
            connection.execute(update(job_runner).where(c.id == runner).values(samples=list(samples)))
            return float(connection.scalar(mean) or 0.0)

    def _within(
        self, connection: Connection | None, *, write: bool = False
    ) -> AbstractContextManager[Connection]:
        if connection is not None:
            return nullcontext(connection)
        return connected(self._engine, write=write, brief=write)


def _at_work(job_id: int) -> tuple[ColumnElement[bool], ...]:
    c = job_runner.c
    return (c.job_id == job_id, c.ended_at.is_(None), c.seen_at > seconds_ago(LIVELY_SECONDS))


_STANDING = ("state", "wave", "zeroes", "zero_at")
"""What every step of a job's end changes."""
_JOB = [clock() if f.name == "now" else job.c[f.name] for f in fields(JobRow)]

"""Works on a job: claims one chunk after the other, and closes the job when there is none left."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass, field, replace
from functools import partial
from threading import Event
from uuid import UUID, uuid4

from sqlalchemy import Connection

from crypto_core.database.replicas import ReplicaLags
from crypto_core.database.state.jobs import FAILED, RUNNING, JobRow
from crypto_core.database.tokens.attached_code import AttachedCode, require_same_code
from crypto_core.database.tokens.attribution import answer_of_damage
from crypto_core.database.tokens.chunks import LEASE_SECONDS, Chunk
from crypto_core.database.tokens.store import TokenScope
from crypto_core.envelope import Format
from crypto_core.errors import (
    ChangedAtCommitError,
    DatabaseError,
    ForeignWriteError,
    JobError,
    KeydeckError,
    KmsError,
    LeaseLostError,
    RefusedError,
)
from crypto_core.guard.outcome import Outcome
from crypto_core.key_names import same_key
from crypto_core.reencryption.bulk.ports import Poison, TokenTask
from crypto_core.reencryption.bulk.sealing import UNKNOWN_KEY
from crypto_core.reencryption.jobs.batch_size import BatchSize
from crypto_core.reencryption.jobs.confirmed_terms import ConfirmedTerms
from crypto_core.reencryption.jobs.final_census import Closer, Closing
from crypto_core.reencryption.jobs.heartbeat import Heartbeat
from crypto_core.reencryption.jobs.in_flight import Outstanding
from crypto_core.reencryption.jobs.parts import JobParts
from crypto_core.reencryption.jobs.ports import ChunkWork, OpenRestoring, OpenWork
from crypto_core.reencryption.jobs.replica_watch import MAX_LAG_SECONDS, ReplicaWatch
from crypto_core.reencryption.jobs.transient_retry import Endurance
from crypto_core.reencryption.jobs.work import CONTRADICTED, ChunkGround, ChunkPages, ChunkSink
from crypto_core.reencryption.plan import Verb
from crypto_core.references import TokenRef
from crypto_core.text.cleaning import clean
from crypto_core.text.json_records import record_of

_log = logging.getLogger(__name__)

IDLE_SECONDS = 0.25
"""How often a process without a chunk looks for one."""


@dataclass(eq=False, repr=False)
class JobRunner:
    """One process's work on one job. Blocks on SQL and KMS until the job has ended or is paused."""

    parts: JobParts
    closer: Closer
    open_work: OpenWork
    open_restoring: OpenRestoring
    """Makes what puts envelopes back, for jobs that undo another."""
    _: KW_ONLY
    lease_seconds: float = LEASE_SECONDS
    _confirmed: ConfirmedTerms = field(init=False)
    _size: BatchSize = field(default_factory=BatchSize, init=False)
    _before: int = field(default=0, init=False)
    _sink: ChunkSink | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._confirmed = ConfirmedTerms(self.parts.journal)

    def run_job(self, job_id: int, cancelled: Event) -> None:
        """Work until the job has ended or is paused, or `cancelled` is set.

        Raises KmsError and DatabaseError for what stops this process. If no other works on the job, it has
        failed then, and can be resumed. Raises JobError where this process has another binding than the job.
        """
        parts, runner = self.parts, uuid4()
        actor = parts.journal.actor()
        job = parts.jobs.get(job_id)
        if job.state != RUNNING:
            return
        self._confirmed.require(job)
        self._binding(job)
        parts.jobs.enlist(
            job_id, runner, host=clean(socket.gethostname(), 100), pid=os.getpid(), actor=clean(actor, 300)
        )
        if job.restores is None:
            opened = self.open_work()
        else:
            opened = self.open_restoring(parts.jobs.get(job.restores).run_id)
        try:
            with opened as work, self._heartbeat(job, runner, work, cancelled) as heart:
                self._work_on(job, runner, work, heart, actor)
        except (KmsError, DatabaseError, RefusedError) as error:
            self._fail(job, runner, error)
            raise
        finally:
            # A database that is gone is told in the error under way; who isn't seen counts as gone.
            with suppress(DatabaseError):
                parts.jobs.leave(runner)

    def _heartbeat(self, job: JobRow, runner: UUID, work: ChunkWork, cancelled: Event) -> Heartbeat:
        parts, max_lag = self.parts, job.plan.get("max_lag", MAX_LAG_SECONDS)
        return Heartbeat(
            parts.jobs,
            parts.chunks,
            job.id,
            runner,
            work,
            replicas=ReplicaWatch(ReplicaLags(parts.engine).look, float(max_lag)),
            lease_seconds=self.lease_seconds,
            cancelled=cancelled,
            written=lambda: self._before + (self._sink.written if self._sink else 0),
        )

    def _work_on(self, job: JobRow, runner: UUID, work: ChunkWork, heart: Heartbeat, actor: str) -> None:
        parts, endure = self.parts, Endurance(heart.stop)
        order: TokenTask | None = None
        while not heart.stop.is_set():
            claim = partial(parts.chunks.claim_chunk, job.id, runner, self.lease_seconds)
            chunk = endure(claim)
            if chunk is not None:
                if order is None or chunk.wave != job.wave:
                    job = endure(partial(parts.jobs.get, job.id))
                    endure(partial(self._confirmed.require, job))
                    order = endure(partial(self._order, job))
                endure(partial(self._require_code, job))
                self._chunk(job, order, chunk, work, heart, actor)
                continue
            closing = endure(partial(self.closer.close_job, job.id, heart.stop, actor, runner))
            if closing is Closing.ENDED:
                return
            if closing is Closing.WAIT:
                heart.stop.wait(IDLE_SECONDS)

    def _require_code(self, job: JobRow) -> None:
        """Pass if the code that runs in the job's writes is what was agreed to. Raises RefusedError."""
        if "code" in job.plan:
            planned = tuple(record_of(AttachedCode, told) for told in job.plan["code"])
            require_same_code(planned, self.parts.store.code_at(job.plan["by_column"]))

    def _chunk(
        self, job: JobRow, order: TokenTask, chunk: Chunk, work: ChunkWork, heart: Heartbeat, actor: str
    ) -> None:
        parts, outstanding = self.parts, Outstanding()
        ground = ChunkGround(
            parts.store,
            parts.chunks,
            parts.unwritable,
            job.run_id,
            job.verb,
            record_of(TokenScope, job.scope),
            Endurance(heart.halt),
            partial(self._key_asked, order),
            self._remember_damage,
            self._size,
            partial(self._tell_references, job, actor) if order.verb is Verb.ENCRYPT else None,
        )
        pages, sink = ChunkPages(ground, chunk, outstanding), ChunkSink(ground, chunk, outstanding)
        heart.hold(chunk)
        self._sink = sink
        finished = False
        try:
            work.write_chunk(pages, sink, order, heart.halt)
            finished = not heart.halt.is_set()
        except LeaseLostError as error:
            _log.warning("%s", error.message)
            return
        except DatabaseError as error:
            # Who is to stop does not wait for a database that is away.
            if not (heart.halt.is_set() and error.passing):
                raise
        finally:
            heart.hold(None)
            self._before, self._sink = self._before + sink.written, None
            if not heart.lost.is_set():
                self._give_back(chunk, outstanding, heart, finished=finished)

    def _give_back(self, chunk: Chunk, outstanding: Outstanding, heart: Heartbeat, *, finished: bool) -> None:
        chunks, counted = self.parts.chunks, outstanding.counted()
        # Where this fails, the lease runs out.
        with suppress(DatabaseError, LeaseLostError):
            if finished:
                Endurance(heart.stop)(lambda: chunks.finish_chunk(chunk, counted))
            else:
                chunks.release_chunk(chunk, outstanding.position(), counted)

    def _order(self, job: JobRow) -> TokenTask:
        trusted: tuple[str, ...] = ()
        keys: dict[bytes, str] = {}
        if job.source_key_arn is None:
            trusted = tuple(dict.fromkeys([*self.parts.attributor.keyring.trusted, job.target_key_arn]))
            if Verb(job.verb) is not Verb.ENCRYPT:
                keys = self.closer.keys_by_group()
        return TokenTask(
            verb=Verb(job.verb),
            target=job.target_key_arn,
            source=job.source_key_arn,
            keys=keys,
            trusted=trusted,
            write_format=Format(job.write_format),
            binding=self._binding(job),
            allow_downgrade=job.allow_downgrade,
            ask_kms=job.verify == "kms",
        )

    def _binding(self, job: JobRow) -> str | None:
        """The name of the database, as this process has it. Raises JobError if the job has another one."""
        own, planned = self.parts.attributor.keyring.binding, job.plan.get("binding")
        if planned not in (None, own):
            set_to = "not set" if own is None else f'"{own}"'
            raise JobError(
                f'Job {job.id} seals for database "{planned}", and KEYDECK_BINDING is {set_to} here.',
                remedy="Set it as it was where the job was made, or cancel the job.",
            )
        return own

    def _remember_damage(self, poison: Sequence[Poison]) -> None:
        self.parts.attributor.answers.remember(answer_of_damage(one.token, one.reason) for one in poison)

    def _key_asked(self, order: TokenTask, poison: Poison) -> Poison | None:
        """Ask KMS which key the token is really under; that is remembered.

        Returns None for another key than the one that is emptied, else the reason, with the key's name where
        it is one that may not be asked. Raises KmsError where KMS fails for now to say so.
        """
        if order.source is None and poison.kind != UNKNOWN_KEY:
            return poison
        probe = self.parts.attributor.ask_kms([poison.token])[0]
        if probe.failure is not None and probe.failure.transient:
            raise probe.failure
        key_arn = probe.answer.key_arn if probe.answer is not None else None
        if key_arn is None or any(same_key(key_arn, name) for name in order.trusted):
            return poison
        if order.source is None:
            return replace(poison, reason=f"It is under {key_arn}, which is not trusted.")
        return replace(poison, kind=CONTRADICTED) if same_key(key_arn, order.source) else None

    def _tell_references(
        self, job: JobRow, actor: str, connection: Connection, written: frozenset[TokenRef]
    ) -> None:
        """Tell the journal what was encrypted in place: no backup tells it (see database/authorship.py)."""
        references = sorted(str(ref) for ref in written)
        detail = {"job": job.id, "run": str(job.run_id), "to": job.target_key_arn, "references": references}
        within = connection if self.parts.same_database else None
        subject = references[0] if len(references) == 1 else f"{len(references)} tokens"
        self.parts.journal.record(job.verb, subject, Outcome.DONE, detail, within=within, actor=actor)

    def _fail(self, job: JobRow, runner: UUID, error: KeydeckError) -> None:
        """The job has stopped: store the reason, until it is resumed.

        What code of others did in its writes stops it for all who work on it, and is journaled.
        """
        jobs, foreign = self.parts.jobs, isinstance(error, (ForeignWriteError, ChangedAtCommitError))
        with suppress(DatabaseError):
            jobs.leave(runner)
            if foreign or not jobs.lively(job.id):
                jobs.change(job.id, FAILED, [RUNNING], why=str(error))
            if foreign:
                told = {"job": job.id, "run": str(job.run_id), "reason": error.message}
                self.parts.journal.record(job.verb, f"job {job.id}", Outcome.FAILED, told)

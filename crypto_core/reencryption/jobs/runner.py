"""Works on a job: claims one chunk after the other, and closes the job when there is none left."""

from __future__ import annotations

import logging
import os
import socket
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass, field
from datetime import UTC, datetime
from functools import partial
from threading import Event, Thread
from time import monotonic
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection

from crypto_core.database.replicas import ReplicaLags
from crypto_core.database.state.jobs import FAILED, RUNNING, JobRow, JobStore
from crypto_core.database.tokens.attached_code import AttachedCode, require_same_code
from crypto_core.database.tokens.backups import stood_before
from crypto_core.database.tokens.chunks import LEASE_SECONDS, Chunk, ChunkStore
from crypto_core.database.tokens.store import TokenScope
from crypto_core.envelope import DEV_KEY, Format
from crypto_core.guard.guarded_change import Outcome
from crypto_core.reencryption.bulk.batch_sink import BatchSink, BatchSize
from crypto_core.reencryption.bulk.engine import AskKms, Engine, OpenEngine
from crypto_core.reencryption.bulk.ports import TokenPages, TokenTask
from crypto_core.reencryption.bulk.quota import quota_of
from crypto_core.reencryption.bulk.restorer import Restoring
from crypto_core.reencryption.bulk.token_sealer import Sealing
from crypto_core.reencryption.endurance import Endurance
from crypto_core.reencryption.jobs.confirmed_terms import ConfirmedTerms
from crypto_core.reencryption.jobs.final_census import Closer, Closing
from crypto_core.reencryption.jobs.parts import JobParts
from crypto_core.reencryption.jobs.replica_watch import MAX_LAG_SECONDS, ReplicaWatch
from crypto_core.reencryption.jobs.work import ChunkLedger, ChunkPages
from crypto_core.reencryption.plan import Verb
from crypto_core.values import errors
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import DatabaseError
from crypto_core.values.json_records import record_of
from crypto_core.values.key_names import region_of
from crypto_core.values.references import TokenRef

_log = logging.getLogger(__name__)

BEAT_SECONDS = 0.25
SAMPLE_SECONDS = 1.0
SAMPLES = 60


class Heartbeat:
    """A thread with a connection of its own. `stop` is set once nothing more is to be written."""

    def __init__(
        self,
        jobs: JobStore,
        chunks: ChunkStore,
        job_id: int,
        runner: UUID,
        engine: Engine,
        *,
        replicas: ReplicaWatch,
        lease_seconds: float,
        cancelled: Event,
        written: Callable[[], int],
    ) -> None:
        """`written` says how many tokens this process has written so far."""
        self.stop = Event()
        """Set for good when the job no longer runs, or this process is to end."""
        self.lost = Event()
        """Set while the chunk is another process's."""
        self.halt = Event()
        """Set while the chunk must not be worked on: `stop` or `lost`."""
        self._jobs, self._chunks = jobs, chunks
        self._job_id, self._runner = job_id, runner
        self._engine = engine
        self._replicas = replicas
        self._lease_seconds = lease_seconds
        self._cancelled = cancelled
        self._written = written
        self._chunk: Chunk | None = None
        self._over = Event()
        self._fellows = 0.0
        self._samples: deque[dict[str, Any]] = deque(maxlen=SAMPLES)
        self._sampled_at, self._sampled = monotonic(), 0
        self._thread = Thread(target=self._beat, name="keydeck-heartbeat", daemon=True)

    def __enter__(self) -> Heartbeat:
        """Begin; what has to wait for replicas does so from the beginning."""
        self._engine.hold_back(bool(self._replicas.renew()))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End; what is under way is not waited for."""
        self._over.set()
        self._thread.join(BEAT_SECONDS * 4)

    def hold(self, chunk: Chunk | None) -> None:
        self._chunk = chunk
        self.lost.clear()
        if not self.stop.is_set():
            self.halt.clear()

    def end(self) -> None:
        """Stop what is under way, for good."""
        self.stop.set()
        self.halt.set()

    def _beat(self) -> None:
        while not self._over.is_set():
            if self._cancelled.is_set():
                self.end()
            try:
                self._renew()
                self._engine.hold_back(bool(self._replicas.renew()))
                self._sample()
            except DatabaseError as error:
                # The batches will meet with it too, and wait it out; a lost lease is found by them.
                _log.info("The job's state can't be read for now: %s", error.message)
            self._cancelled.wait(BEAT_SECONDS) if not self._cancelled.is_set() else self._over.wait(
                BEAT_SECONDS
            )

    def _renew(self) -> None:
        chunk = self._chunk
        beat = self._chunks.renew_lease(self._job_id, self._runner, chunk, self._lease_seconds)
        if beat.state != RUNNING:
            self.end()
        if not beat.held and chunk is self._chunk:
            self.lost.set()
            self.halt.set()
        fellows = self._fellows if beat.working > 1 else 0.0
        self._engine.set_rate(beat.calls_per_second / beat.working, fellows)

    def _sample(self) -> None:
        now = monotonic()
        if now - self._sampled_at < SAMPLE_SECONDS:
            return
        written, measured = self._written(), self._engine.take_sample()
        self._samples.append(
            {
                "at": datetime.now(UTC).isoformat(),
                "seconds": now - self._sampled_at,
                "tokens": written - self._sampled,
                "calls": measured.calls,
                "throttled": measured.throttled,
                "p50_ms": measured.p50_ms,
                "p99_ms": measured.p99_ms,
                "pace": measured.pace,
                "standing": measured.standing,
                "waiting": self._replicas.waiting,
                "unseen": self._replicas.unseen,
            }
        )
        self._sampled_at, self._sampled = now, written
        self._fellows = self._jobs.sample(self._job_id, self._runner, list(self._samples))


IDLE_SECONDS = 0.25
"""How often a process without a chunk looks for one."""


@dataclass(eq=False, repr=False)
class JobRunner:
    """One process's work on one job. Blocks on SQL and KMS until the job has ended or is paused."""

    parts: JobParts
    closer: Closer
    open_engine: OpenEngine
    _: KW_ONLY
    dev_key: str = DEV_KEY
    lease_seconds: float = LEASE_SECONDS
    _confirmed: ConfirmedTerms = field(init=False)
    _size: BatchSize = field(default_factory=BatchSize, init=False)
    _before: int = field(default=0, init=False)
    _sink: BatchSink | None = field(default=None, init=False)

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
        opened = self.open_engine(parts.attributor.keyring, quota_of(region_of(job.target_key_arn) or ""))
        try:
            with opened as engine, self._heartbeat(job, runner, engine, cancelled) as heart:
                self._work_on(job, runner, engine, heart, actor)
        except (errors.KmsError, errors.DatabaseError, errors.RefusedError) as error:
            self._fail(job, runner, error)
            raise
        finally:
            # A database that is gone is told in the error under way; who isn't seen counts as gone.
            with suppress(errors.DatabaseError):
                parts.jobs.leave(runner)

    def _heartbeat(self, job: JobRow, runner: UUID, engine: Engine, cancelled: Event) -> Heartbeat:
        parts, max_lag = self.parts, job.plan.get("max_lag", MAX_LAG_SECONDS)
        return Heartbeat(
            parts.jobs,
            parts.chunks,
            job.id,
            runner,
            engine,
            replicas=ReplicaWatch(ReplicaLags(parts.engine).look, float(max_lag)),
            lease_seconds=self.lease_seconds,
            cancelled=cancelled,
            written=lambda: self._before + (self._sink.written if self._sink else 0),
        )

    def _work_on(self, job: JobRow, runner: UUID, engine: Engine, heart: Heartbeat, actor: str) -> None:
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
                self._chunk(job, order, chunk, engine, heart, actor)
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
        self, job: JobRow, order: TokenTask, chunk: Chunk, engine: Engine, heart: Heartbeat, actor: str
    ) -> None:
        parts, endure = self.parts, Endurance(heart.halt)
        note = partial(self._tell_references, job, actor) if order.verb is Verb.ENCRYPT else None
        ledger = ChunkLedger(parts.chunks, parts.unwritable, chunk, note)
        scope = record_of(TokenScope, job.scope)
        pages: TokenPages = ChunkPages(
            parts.store, parts.unwritable, job.run_id, scope, chunk, ledger, endure
        )
        ask: AskKms = Sealing(order).seal_token
        if job.restores is not None:
            undone = parts.jobs.get(job.restores).run_id
            kept = partial(stood_before, parts.engine, run_id=undone)
            pages = restoring = Restoring(pages, order.keyring, kept)
            ask = restoring.restore_token
        sink = BatchSink(parts.attributor, order, job.run_id, job.verb, ledger, endure, size=self._size)
        heart.hold(chunk)
        self._sink = sink
        finished = False
        try:
            engine.pass_tokens(pages, sink, ask, heart.halt)
            finished = not heart.halt.is_set()
        except errors.LeaseLostError as error:
            _log.warning("%s", error.message)
            return
        except errors.DatabaseError as error:
            # Who is to stop does not wait for a database that is away.
            if not (heart.halt.is_set() and error.passing):
                raise
        finally:
            heart.hold(None)
            self._before, self._sink = self._before + sink.written, None
            if not heart.lost.is_set():
                self._give_back(chunk, ledger, heart, finished=finished)

    def _give_back(self, chunk: Chunk, ledger: ChunkLedger, heart: Heartbeat, *, finished: bool) -> None:
        chunks, counted = self.parts.chunks, ledger.counted()
        # Where this fails, the lease runs out.
        with suppress(errors.DatabaseError, errors.LeaseLostError):
            if finished:
                Endurance(heart.stop)(lambda: chunks.finish_chunk(chunk, counted))
            else:
                chunks.release_chunk(chunk, ledger.position(), counted)

    def _order(self, job: JobRow) -> TokenTask:
        """What is done to each token; undone, envelopes are under either of the two keys."""
        self._binding(job)
        keyring, source = self.parts.attributor.keyring, job.source_key_arn
        if job.restores is not None and source is not None:
            keyring, source = keyring.trusting(source), None
        order = TokenTask.over(
            keyring,
            Verb(job.verb),
            job.target_key_arn,
            source,
            write_format=Format(job.write_format),
            allow_downgrade=job.allow_downgrade,
            ask_kms=job.verify == "kms",
            dev_key=self.dev_key,
        )
        if source is None and order.verb is not Verb.ENCRYPT and job.restores is None:
            order.keyring.expect(self.closer.keys_by_group())
        return order

    def _binding(self, job: JobRow) -> None:
        """Pass if this process names the database as the job does. Raises JobError."""
        own, planned = self.parts.attributor.keyring.binding, job.plan.get("binding")
        if planned not in (None, own):
            set_to = "not set" if own is None else f'"{own}"'
            raise errors.JobError(
                f'Job {job.id} seals for database "{planned}", and KEYDECK_BINDING is {set_to} here.',
                remedy="Set it as it was where the job was made, or cancel the job.",
            )

    def _tell_references(
        self, job: JobRow, actor: str, connection: Connection, written: Sequence[TokenRef]
    ) -> None:
        """Tell the journal what was encrypted in place: no backup tells it (see tokens/written_rows.py)."""
        references = sorted(str(ref) for ref in written)
        detail = {"job": job.id, "run": str(job.run_id), "to": job.target_key_arn, "references": references}
        within = connection if self.parts.same_database else None
        subject = references[0] if len(references) == 1 else f"{len(references)} tokens"
        self.parts.journal.record(job.verb, subject, Outcome.DONE, detail, within=within, actor=actor)

    def _fail(self, job: JobRow, runner: UUID, error: errors.KeydeckError) -> None:
        """The job has stopped: store the reason, until it is resumed.

        What code of others did in its writes stops it for all who work on it, and is journaled.
        """
        jobs, foreign = (
            self.parts.jobs,
            isinstance(error, (errors.ForeignWriteError, errors.ChangedAtCommitError)),
        )
        with suppress(errors.DatabaseError):
            jobs.leave(runner)
            if foreign or not jobs.lively(job.id):
                jobs.change(job.id, FAILED, [RUNNING], why=str(error))
            if foreign:
                told = {"job": job.id, "run": str(job.run_id), "reason": error.message}
                self.parts.journal.record(job.verb, f"job {job.id}", Outcome.FAILED, told)

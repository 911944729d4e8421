"""Says four times a second that this process works on a job, and hears whether it still should."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from threading import Event, Thread
from time import monotonic
from typing import Any
from uuid import UUID

from crypto_core.database.state.jobs import RUNNING, JobStore
from crypto_core.database.tokens.chunks import Chunk, ChunkStore
from crypto_core.errors import DatabaseError
from crypto_core.reencryption.bulk.engine import Engine
from crypto_core.reencryption.jobs.replica_watch import ReplicaWatch

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

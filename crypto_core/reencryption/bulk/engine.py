"""The engine under runs, jobs, restores and verification: one event loop with its connections to KMS."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from math import inf
from threading import Event
from typing import Protocol

from crypto_core.database.tokens.store import StoredToken
from crypto_core.keyring.kms_keyring import KmsKeyring
from crypto_core.log.observation import SILENT, Observer
from crypto_core.reencryption.bulk import pipeline
from crypto_core.reencryption.bulk.pace import CallPace
from crypto_core.reencryption.bulk.pipeline import IN_FLIGHT, RunGate, is_passing
from crypto_core.reencryption.bulk.ports import BulkKms, Outcome, TokenPages, TokenSink
from crypto_core.reencryption.bulk.retries import ATTEMPTS
from crypto_core.reencryption.bulk.transport import CallSample, CallWatch, KmsTransport
from crypto_core.values.errors import KmsThrottledError

FIRST_RATE = 50.0
"""Calls a second until the first heartbeat has told how many the job may make."""
PATIENCE_SECONDS = 10.0
"""How long KMS may fail for all tokens before somebody who waits is told."""
JOB_PATIENCE_SECONDS = 600.0
"""How long it may before a job has failed."""


class AskKms(Protocol):
    """Asks KMS what a token takes. Raises KmsError for what is not about this token."""

    def __call__(self, token: StoredToken, *, kms: BulkKms) -> Awaitable[Outcome]: ...


@dataclass(slots=True, eq=False, repr=False)
class Engine:
    """Passes tokens through KMS. For one thread, but for `set_rate`, `hold_back` and `take_sample`."""

    loop: asyncio.Runner
    kms: BulkKms
    pace: CallPace
    watch: CallWatch
    quota: int
    for_job: bool
    gate: Event = field(default_factory=Event)

    def __post_init__(self) -> None:
        self.gate.set()

    def pass_tokens(self, pages: TokenPages, sink: TokenSink, ask: AskKms, stop: Event) -> None:
        """Ask KMS about every token of `pages` and hand the outcomes to `sink`. Blocks.

        Once `stop` is set KMS is asked nothing more, what is sealed is written, and this returns. Raises
        KmsError for what waiting does not mend, LeaseLostError, DatabaseError.
        """
        control = RunGate(gate=self.gate, stop=stop, in_flight=IN_FLIGHT)
        if self.for_job:
            control.patience_seconds, control.outlasted = JOB_PATIENCE_SECONDS, (KmsThrottledError,)
        else:
            control.patience_seconds, control.passing = PATIENCE_SECONDS, is_passing
        self.loop.run(pipeline.pass_tokens(pages, sink, partial(ask, kms=self.kms), control))

    def set_rate(self, limit: float, fellows: float) -> None:
        """Ask KMS so often a second at most, from now on; 0 for as often as the quota has room.

        `fellows` is the mean pace of all processes that work on the job, 0 for one alone.
        """
        if limit:
            self.pace.set_rate(limit, fellows=fellows)
        else:
            self.pace.set_rate(inf, guess=self.quota, fellows=fellows)

    def hold_back(self, waits: bool, /) -> None:
        """Ask KMS nothing and read nothing while `waits`; what is sealed is written."""
        (self.gate.clear if waits else self.gate.set)()

    def take_sample(self) -> CallSample:
        return replace(self.watch.take_sample(), pace=self.pace.share, standing=self.pace.standing.value)


OpenEngine = Callable[[KmsKeyring, int], AbstractContextManager[Engine]]
"""Opens an engine that knows what a keyring does of keys and Regions, with a quota in calls a second."""


def open_engine(*, observer: Observer = SILENT, for_job: bool = False) -> OpenEngine:
    """Return what opens engines: for a job, which waits for KMS, or for somebody who waits for the end."""

    @contextmanager
    def opened(keyring: KmsKeyring, quota: int) -> Iterator[Engine]:
        pace, watch = CallPace(FIRST_RATE) if for_job else CallPace(guess=quota), CallWatch()
        transport = KmsTransport(
            keyring.kms,
            pace,
            watch=watch,
            observer=observer,
            attempts=ATTEMPTS if for_job else 3,
            pins=keyring.pins,
            routes=keyring.routes,
        )
        with asyncio.Runner() as loop:
            loop.run(transport.__aenter__())
            try:
                yield Engine(loop, transport, pace, watch, quota, for_job)
            finally:
                loop.run(transport.__aexit__(None, None, None))

    return opened

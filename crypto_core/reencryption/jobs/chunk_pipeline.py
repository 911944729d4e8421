"""The bulk pipeline as a ChunkWork: one event loop with its connections while a process works on a job."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from math import inf
from threading import Event

from crypto_core.aws.kms import KmsApi
from crypto_core.errors import KmsThrottledError, LeaseLostError
from crypto_core.key_names import region_of
from crypto_core.log.observation import Observer
from crypto_core.reencryption.bulk import pipeline
from crypto_core.reencryption.bulk.control import Control
from crypto_core.reencryption.bulk.pace import CallPace
from crypto_core.reencryption.bulk.ports import TokenPages, TokenSink, TokenTask
from crypto_core.reencryption.bulk.quota import quota_of
from crypto_core.reencryption.bulk.transport import KmsTransport
from crypto_core.reencryption.bulk.watch import CallSample, CallWatch
from crypto_core.reencryption.jobs.ports import ChunkWork
from crypto_core.reencryption.jobs.transient_retry import PATIENCE_SECONDS

FIRST_RATE = 50.0
"""Calls a second until the first heartbeat has told how many the job may make."""


class Piped:
    """Writes chunk after chunk in one event loop. `write_chunk` is for one thread."""

    def __init__(
        self, loop: asyncio.Runner, kms: KmsTransport, pace: CallPace, watch: CallWatch, dev_key: str
    ) -> None:
        self._loop = loop
        self._kms = kms
        self._pace = pace
        self._watch = watch
        self._dev_key = dev_key
        self._gate = Event()
        self._gate.set()
        self._region = ""

    def write_chunk(self, pages: TokenPages, sink: TokenSink, order: TokenTask, stop: Event) -> None:
        """Write every token of `pages` anew; see ChunkWork."""
        order = replace(order, dev_key=self._dev_key)
        self._region = region_of(order.target) or ""
        control = Control(
            gate=self._gate, stop=stop, patience_seconds=PATIENCE_SECONDS, outlasted=(KmsThrottledError,)
        )
        tally = self._loop.run(pipeline.write_tokens(pages, sink, order, self._kms, control))
        if tally.lease_lost:
            raise LeaseLostError("The chunk is another process's by now.")

    def set_rate(self, limit: float, fellows: float) -> None:
        """Ask KMS so often at most, from now on; see ChunkWork."""
        if limit:
            self._pace.set_rate(limit, fellows=fellows)
        else:
            self._pace.set_rate(inf, guess=quota_of(self._region), fellows=fellows)

    def hold_back(self, waits: bool, /) -> None:
        """Ask KMS nothing while `waits`; see ChunkWork."""
        (self._gate.clear if waits else self._gate.set)()

    def take_sample(self) -> CallSample:
        """Return what the calls since the last look came to."""
        pace = self._pace
        return replace(self._watch.take_sample(), pace=pace.share, standing=pace.standing.value)


def piped(
    kms: KmsApi, *, dev_key: str, observer: Observer
) -> Callable[[], AbstractContextManager[ChunkWork]]:
    """Return what makes a Piped, with its connections to KMS."""

    @contextmanager
    def opened() -> Iterator[ChunkWork]:
        pace, watch = CallPace(FIRST_RATE), CallWatch()
        transport = KmsTransport(kms, pace, watch=watch, observer=observer)
        with asyncio.Runner() as loop:
            loop.run(transport.__aenter__())
            try:
                yield Piped(loop, transport, pace, watch, dev_key)
            finally:
                loop.run(transport.__aexit__(None, None, None))

    return opened

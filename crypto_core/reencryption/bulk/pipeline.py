"""Reading, asking KMS and writing, at the same time.

One thread reads pages, the event loop asks KMS about some hundred tokens, another thread writes batches. What
has been read and is not yet written is bounded, so that memory is, whatever the number of tokens: with a slow
database KMS is asked less. Batches have the tokens in the order in which they were read; a token that had
changed meanwhile is read again and comes later.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from operator import attrgetter
from threading import Event
from typing import Any, TypeVar

from crypto_core.database.tokens.store import StoredToken
from crypto_core.reencryption.bulk import ports
from crypto_core.values import errors

IN_FLIGHT = 128
"""Tokens that KMS is asked about at a time, a connection each: at 10 ms a call, enough for 6,000 a second."""

PATIENCE_SECONDS = 30.0
"""How long nothing may get through before a run ends with KMS's error."""

GRACE_SECONDS = 0.5
"""How long what is under way may go on once a run is held back or stopped."""


_PASSING = (
    errors.KmsThrottledError,
    errors.KmsInternalError,
    errors.KmsDependencyTimeoutError,
    errors.KeyUnavailableError,
)


def is_passing(error: errors.KmsError) -> bool:
    """Return whether a failure is worth waiting out while somebody waits for the end."""
    return isinstance(error, _PASSING)


def _open() -> Event:
    event = Event()
    event.set()
    return event


@dataclass(slots=True)
class RunGate:
    """Set from any thread. The run looks ten times a second."""

    gate: Event = field(default_factory=_open)
    """Cleared, the run is held back: no KMS call is made, and what is sealed is written."""
    stop: Event = field(default_factory=Event)
    """Set, the run ends: what is sealed is written, what is not is left."""
    in_flight: int = IN_FLIGHT
    patience_seconds: float = PATIENCE_SECONDS
    passing: Callable[[errors.KmsError], bool] = attrgetter("transient")
    """Which failures of KMS are waited out."""
    outlasted: tuple[type[errors.KmsError], ...] = ()
    """Of those, what is waited out for as long as it takes: the pace has all but stopped by then."""


ROOM = 1_000
"""Another page is read while fewer tokens than this wait for KMS."""
MOST = 4_000
"""No page is read while so many tokens are unwritten."""


@dataclass(slots=True, eq=False)
class TokenInFlight:
    """A token on its way. `tries` counts how often it was to be written, this time included."""

    token: StoredToken
    tries: int = 1
    outcome: ports.Outcome | None = field(default=None, repr=False)

    def again(self, token: StoredToken) -> TokenInFlight:
        """Return the entry for another try, with the token as it was read by now.

        Where it is what it was, another writer only held its row, and the new envelope is still good.
        """
        outcome = self.outcome
        if isinstance(outcome, ports.Sealed) and token.digest == outcome.replacement.old.digest:
            return TokenInFlight(token, self.tries + 1, replace(outcome, kms_calls=0))
        return TokenInFlight(token, self.tries + 1)


class InFlightWindow:
    """What has been read and is not yet written, in the order in which it was read. For one event loop."""

    def __init__(self) -> None:
        self._waiting: deque[TokenInFlight] = deque()
        self._open: deque[TokenInFlight] = deque()
        self._ready: deque[TokenInFlight] = deque()
        self._settled = 0

    def __len__(self) -> int:
        """Entries that are not yet handed out to be written."""
        return len(self._open) + len(self._ready)

    @property
    def has_room(self) -> bool:
        return len(self._waiting) < ROOM and len(self) < MOST

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def ready(self) -> int:
        """Entries with an outcome before which there is none without."""
        return len(self._ready)

    @property
    def has_outcomes(self) -> bool:
        """True if there is anything to write, in whatever order."""
        return self._settled > 0

    def add(self, entries: Iterable[TokenInFlight]) -> None:
        """Put entries at the end. Those that have an outcome don't wait for one."""
        for entry in entries:
            self._open.append(entry)
            if entry.outcome is None:
                self._waiting.append(entry)
            else:
                self._settled += 1
        self._advance()

    def take_waiting(self) -> TokenInFlight | None:
        return self._waiting.popleft() if self._waiting else None

    def put_back(self, entry: TokenInFlight) -> None:
        """Let an entry wait again, before the others."""
        self._waiting.appendleft(entry)

    def settle(self, entry: TokenInFlight, outcome: ports.Outcome) -> None:
        entry.outcome = outcome
        self._settled += 1
        self._advance()

    def ordered(self, most: int) -> list[TokenInFlight]:
        batch = [self._ready.popleft() for _ in range(min(most, len(self._ready)))]
        self._settled -= len(batch)
        return batch

    def settled(self, most: int) -> list[TokenInFlight]:
        """Hand out entries that have an outcome, also those behind one that has none."""
        batch = self.ordered(most)
        if len(batch) < most and self._settled:
            behind = [entry for entry in self._open if entry.outcome is not None][: most - len(batch)]
            taken = set(map(id, behind))
            self._open = deque(entry for entry in self._open if id(entry) not in taken)
            self._settled -= len(behind)
            batch += behind
        return batch

    def _advance(self) -> None:
        while self._open and self._open[0].outcome is not None:
            self._ready.append(self._open.popleft())


BATCH = 500
BATCH_SECONDS = 0.1
"""A batch is written when it has so many tokens, or when its first one has waited so long."""

TRIES = 5
"""How often a token that another writer keeps changing is tried."""
CHANGING = "changing"

_LOOK_SECONDS = 0.05
_AGAIN_SECONDS = 0.1
"""The wait before a changed token is read again, doubled with each try: its row may be locked."""
_CHANGED = f"Another writer changed it or locked its row on each of {TRIES} attempts."
_MOST_CHANGED = 20
"""Batches of changed tokens that may wait before nothing new is read."""
_LONGEST_WAIT = 5
"""Times that the wait for KMS, of 0.1 s at first, is doubled."""

R = TypeVar("R")

AskKms = Callable[[StoredToken], Awaitable[ports.Outcome]]
"""Asks KMS what a token takes. Raises KmsError for what is not about this token."""


async def pass_tokens(pages: ports.TokenPages, sink: ports.TokenSink, ask: AskKms, control: RunGate) -> None:
    """Ask KMS about every token of `pages`, and hand the outcomes to `sink`.

    Ends early when `control` says stop. Raises KmsError once KMS has failed for longer than the control's
    patience, or for what waiting doesn't mend; LeaseLostError, DatabaseError from pages and sink. What was
    sealed by then has been written. Pages and sink are called in threads with the caller's context.
    """
    work = _Run(pages, sink, ask, control)
    try:
        await work.through()
    finally:
        await work.close()


class _Run:
    def __init__(self, pages: ports.TokenPages, sink: ports.TokenSink, ask: AskKms, control: RunGate) -> None:
        self._pages, self._sink, self._ask = pages, sink, ask
        self._control = control
        self._loop = asyncio.get_running_loop()
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="keydeck-reader")
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="keydeck-writer")
        self._window = InFlightWindow()
        self._workers: set[asyncio.Task[None]] = set()
        self._reading: asyncio.Task[None] | None = None
        self._writing: asyncio.Task[None] | None = None
        self._changed: list[tuple[float, list[TokenInFlight]]] = []
        self._all_read = False
        self._failure: BaseException | None = None
        self._halted_at: float | None = None
        self._is_writable = True
        self._succeeded_at = self._wrote_at = self._loop.time()
        self._turn = asyncio.Event()

    async def through(self) -> None:
        while not self._is_done():
            halted = self._halt()
            if not halted:
                self._read_on()
                self._ask_on()
            self._write_on(in_order=not halted or bool(self._workers))
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._turn.wait()
            self._turn.clear()
        if self._failure is not None:
            raise self._failure

    async def close(self) -> None:
        """Leave no task behind. A thread that is at it comes to its end by itself."""
        tasks = [*self._workers, *(t for t in (self._reading, self._writing) if t is not None)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._reader.shutdown(wait=False, cancel_futures=True)
        self._writer.shutdown(wait=False, cancel_futures=True)

    def _is_done(self) -> bool:
        if self._writing is not None:
            return False
        if self._failure is not None or self._control.stop.is_set():
            to_write = self._is_writable and self._window.has_outcomes
            return self._halted_at is not None and not self._workers and not to_write
        return self._is_all_written()

    def _is_all_written(self) -> bool:
        left = self._window or self._changed or self._reading is not None
        return self._all_read and not left

    def _halt(self) -> bool:
        """True while nothing more is to be asked; what is under way ends by itself or is ended."""
        control = self._control
        if control.gate.is_set() and not control.stop.is_set() and self._failure is None:
            if self._halted_at is not None:
                self._halted_at = None
                self._succeeded_at = self._loop.time()
            return False
        now = self._loop.time()
        if self._halted_at is None:
            self._halted_at = now
        if now - self._halted_at >= GRACE_SECONDS:
            for worker in self._workers:
                worker.cancel()
        return True

    def _read_on(self) -> None:
        if self._reading is not None:
            return
        now = self._loop.time()
        due = [entry for at, entries in self._changed if at <= now for entry in entries]
        if due:
            self._changed = [(at, entries) for at, entries in self._changed if at > now]
            self._reading = self._started(self._read_again(due))
        elif not self._all_read and self._window.has_room and len(self._changed) < _MOST_CHANGED:
            self._reading = self._started(self._read())

    async def _read(self) -> None:
        tokens = await self._called(self._reader, self._pages.next)
        self._all_read = not tokens
        self._window.add([TokenInFlight(token) for token in tokens])

    async def _read_again(self, entries: Sequence[TokenInFlight]) -> None:
        before = {entry.token.ref: entry for entry in entries}
        refs = [entry.token for entry in entries]
        tokens = await self._called(self._reader, self._pages.again, refs)
        self._window.add([before[token.ref].again(token) for token in tokens])

    def _ask_on(self) -> None:
        """Have as many workers as there is work for, up to the limit."""
        for _ in range(min(self._control.in_flight - len(self._workers), self._window.waiting)):
            self._workers.add(self._started(self._work()))

    async def _work(self) -> None:
        window = self._window
        while self._halted_at is None:
            entry = window.take_waiting()
            if entry is None:
                return
            try:
                outcome = await self._asked(entry)
            except BaseException:  # raised again: the token is another worker's to take
                window.put_back(entry)
                raise
            if outcome is None:
                window.put_back(entry)
                return
            self._succeeded_at = self._loop.time()
            window.settle(entry, outcome)
            to_write = window.ready >= BATCH and self._writing is None
            to_read = not window.waiting and self._reading is None and not self._all_read
            if to_write or to_read:
                self._turn.set()

    async def _asked(self, entry: TokenInFlight) -> ports.Outcome | None:
        """The token's outcome; None if the run is held back before there is one."""
        attempt = 0
        while True:
            try:
                return await self._ask(entry.token)
            except errors.KmsError as error:
                in_vain = self._loop.time() - self._succeeded_at
                impatient = in_vain > self._control.patience_seconds
                if not self._control.passing(error) or (
                    impatient and not isinstance(error, self._control.outlasted)
                ):
                    raise
            if self._halted_at is not None:
                return None
            attempt = min(attempt + 1, _LONGEST_WAIT)
            await asyncio.sleep(random.uniform(0.05, 0.1) * 2**attempt)  # noqa: S311  # jitter, no secret

    def _write_on(self, *, in_order: bool) -> None:
        if self._writing is not None or not self._is_writable:
            return
        batch = self._due() if in_order else self._window.settled(BATCH)
        if batch:
            self._writing = self._started(self._write(batch))

    def _due(self) -> list[TokenInFlight]:
        """A batch that is large enough, or has waited long enough; at the end what there is."""
        window, now = self._window, self._loop.time()
        at_the_end = self._all_read and not window.waiting and not self._workers
        if not window.ready or (
            window.ready < BATCH and not at_the_end and now - self._wrote_at < BATCH_SECONDS
        ):
            return []
        return window.ordered(BATCH)

    async def _write(self, entries: Sequence[TokenInFlight]) -> None:
        batch = [entry.outcome for entry in entries if entry.outcome is not None]
        try:
            changed = await self._called(self._writer, self._sink.commit, batch)
        except BaseException:  # raised again: nothing more is given to a sink that failed
            self._is_writable = False
            raise
        finally:
            self._wrote_at = self._loop.time()
        by_ref = {entry.token.ref: entry for entry in entries}
        self._try_again([by_ref[token.ref] for token in changed])

    def _try_again(self, entries: Sequence[TokenInFlight]) -> None:
        later: dict[int, list[TokenInFlight]] = {}
        for entry in entries:
            if entry.tries >= TRIES:
                entry.outcome = ports.Poison(entry.token, CHANGING, _CHANGED)
                self._window.add([entry])
            else:
                later.setdefault(entry.tries, []).append(entry)
        for tries, changed in later.items():
            self._changed.append((self._loop.time() + _AGAIN_SECONDS * 2 ** (tries - 1), changed))

    def _called(self, thread: Executor, call: Callable[..., R], *arguments: object) -> asyncio.Future[R]:
        """Call what blocks in its thread, in the context of whoever began the run."""
        return self._loop.run_in_executor(thread, copy_context().run, call, *arguments)

    def _started(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._loop.create_task(coroutine)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        # Only here, together with its failure: else a run could end as complete before it hears of that.
        self._workers.discard(task)
        if task is self._reading:
            self._reading = None
        if task is self._writing:
            self._writing = None
        failure = None if task.cancelled() else task.exception()
        if isinstance(failure, errors.WrongDataKeyError):
            self._is_writable = False  # what was sealed meanwhile may not open either
        if failure is not None and (self._failure is None or isinstance(failure, errors.LeaseLostError)):
            self._failure = failure
        self._turn.set()
